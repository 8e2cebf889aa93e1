"""Small files in the shape of real products, whose kelvin are known.

One function a reader: it writes a file (and its companions) into a folder and returns
its path and the truth, (y, x) kelvin with NaN for no data.
"""

import warnings

import netCDF4
import numpy as np
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

HEIGHT, WIDTH = 40, 50
UTM = Affine(70.0, 0.0, 600000.0, 0.0, -70.0, 3700020.0)
SINUSOIDAL = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"


def landscape(height=HEIGHT, width=WIDTH, low_k=285.0, high_k=320.0):
    """(y, x) kelvin: hills of a few pixels between two temperatures."""
    y, x = np.mgrid[:height, :width]
    hills = np.sin(x / 3.1) + np.cos(y / 2.3) + np.sin((x + 2 * y) / 7.7)
    hills = (hills - hills.min()) / (hills.max() - hills.min())
    return low_k + (high_k - low_k) * hills


def with_gap(kelvin):
    """The same with a corner of no data."""
    gapped = kelvin.copy()
    gapped[:6, :7] = np.nan
    return gapped


def counts(kelvin, scale, offset, dtype, fill):
    """Packed integers and the kelvin that they stand for."""
    valid = np.isfinite(kelvin)
    packed = np.round((np.where(valid, kelvin, 0) - offset) / scale)
    truth = np.where(valid, packed * scale + offset, np.nan)
    return np.where(valid, packed, fill).astype(dtype), truth


def write_tif(path, values, *, crs="EPSG:32611", transform=UTM, nodata=None, scale=None, offset=None,
              units=None, tags=None, description=None):  # fmt: skip
    """A GeoTIFF of one or more bands with whatever tags are given."""
    bands = values[None] if values.ndim == 2 else values
    profile = {"crs": crs, "transform": transform, "nodata": nodata, "compress": "deflate"}
    if transform is None:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # meant so; pytest restores the filters
    with rasterio.open(
        path, "w", driver="GTiff", count=len(bands), height=bands.shape[1], width=bands.shape[2],
        dtype=bands.dtype, **{key: value for key, value in profile.items() if value is not None},
    ) as file:  # fmt: skip
        file.write(bands)
        if scale is not None:
            file.scales, file.offsets = (scale,) * len(bands), (offset or 0.0,) * len(bands)
        if units is not None:
            file.units = (units,) * len(bands)
        if description is not None:
            file.set_band_description(1, description)
        file.update_tags(**(tags or {}))
    return path


def write_nc(path, data, *, rows, columns, attrs=None, extra=None, grid_mapping=None, time=None, name="LST"):
    """A NetCDF file of one packed or floating variable.

    Args:
        path: Where.
        data: (y, x) stored numbers.
        rows: (name, values, attributes) of the row coordinate.
        columns: The same of the columns.
        attrs: Of the variable; `_FillValue` included.
        extra: Further variables of the same shape: name to (numbers, attributes).
        grid_mapping: (name, attributes) of a scalar mapping variable.
        time: (number, units) of a time dimension of length 1.
        name: Of the variable.
    """
    with netCDF4.Dataset(path, "w") as file:
        dims = []
        if time is not None:
            file.createDimension("time", 1)
            variable = file.createVariable("time", "f8", ("time",))
            variable.units, variable[0] = time[1], time[0]
            dims.append("time")
        for dim_name, values, dim_attrs in (rows, columns):
            file.createDimension(dim_name, len(values))
            variable = file.createVariable(dim_name, values.dtype, (dim_name,))
            variable.set_auto_maskandscale(False)
            variable.setncatts(dim_attrs)
            variable[:] = values
            dims.append(dim_name)
        if grid_mapping is not None:
            file.createVariable(grid_mapping[0], "i4").setncatts(grid_mapping[1])
        for var_name, (numbers, var_attrs) in {name: (data, attrs or {}), **(extra or {})}.items():
            var_attrs = dict(var_attrs)
            fill = var_attrs.pop("_FillValue", None)
            variable = file.createVariable(var_name, numbers.dtype, dims, fill_value=fill)
            variable.set_auto_maskandscale(False)
            variable.setncatts(var_attrs)
            variable[:] = numbers[None] if time is not None else numbers
    return path


def small_nc(path, **told):
    """A NetCDF file of 8 by 9 pixels on latitude and longitude, but for what is told of `write_nc`."""
    good = {
        "data": landscape(8, 9).astype(np.float32),
        "rows": ("lat", degrees(8, 40.0, -0.1), LAT),
        "columns": ("lon", degrees(9, 5.0, 0.1), LON),
        "attrs": {"units": "K"},
    }
    return write_nc(path, **{**good, **told})


def degrees(n, start, step):
    """Evenly spaced coordinates."""
    return start + step * np.arange(n, dtype=np.float64)


LAT = {"units": "degrees_north", "standard_name": "latitude"}
LON = {"units": "degrees_east", "standard_name": "longitude"}


def ecostress(folder):
    truth = with_gap(landscape()).astype(np.float32)
    name = "ECOv002_L2T_LSTE_34366_004_11SPS_20240728T204025_0712_01_LST.tif"
    return write_tif(folder / name, truth, nodata=np.nan), truth


def landsat_l2(folder):
    packed, truth = counts(with_gap(landscape()), 0.00341802, 149.0, np.uint16, 0)
    packed[20, 30], truth[20, 30] = 293, np.nan  # the product's clamp
    name = "LC08_L2SP_008059_20191201_20200825_02_T1_ST_B10.TIF"
    return write_tif(folder / name, packed, nodata=0), truth


MTL = """GROUP = L1_METADATA_FILE
  GROUP = METADATA_FILE_INFO
    LANDSAT_SCENE_ID = "LC80400282014193LGN00"
  END_GROUP = METADATA_FILE_INFO
  GROUP = PRODUCT_METADATA
    SPACECRAFT_ID = "LANDSAT_8"
    DATE_ACQUIRED = 2014-07-12
    SCENE_CENTER_TIME = 18:18:49.9576939Z
  END_GROUP = PRODUCT_METADATA
  GROUP = RADIOMETRIC_RESCALING
    RADIANCE_MULT_BAND_10 = 3.3420E-04
    RADIANCE_ADD_BAND_10 = 0.10000
  END_GROUP = RADIOMETRIC_RESCALING
  GROUP = TIRS_THERMAL_CONSTANTS
    K1_CONSTANT_BAND_10 = 774.89
    K2_CONSTANT_BAND_10 = 1321.08
  END_GROUP = TIRS_THERMAL_CONSTANTS
END_GROUP = L1_METADATA_FILE
END
"""


def landsat_l1(folder):
    kelvin = with_gap(landscape())
    radiance = 774.89 / np.expm1(1321.08 / kelvin)
    packed, radiance = counts(radiance, 3.3420e-4, 0.1, np.uint16, 0)
    (folder / "LC80400282014193LGN00_MTL.txt").write_text(MTL)
    path = write_tif(folder / "LC80400282014193LGN00_B10.TIF", packed)
    return path, 1321.08 / np.log(774.89 / radiance + 1)


def modis(folder):
    packed, truth = counts(with_gap(landscape()), 0.02, 0.0, np.uint16, 0)
    path = folder / "MOD11A1.A2019305.h14v09.006_LST_Day_1km.tif"
    grid = Affine(926.625433, 0.0, -4447802.08, 0.0, -926.625433, 0.0)
    return write_tif(path, packed, crs=SINUSOIDAL, transform=grid, nodata=0, scale=0.02, units="K"), truth


def goes_abi(folder):
    packed, truth = counts(
        with_gap(landscape(low_k=210.0, high_k=290.0)), 0.06145332, 89.62, np.uint16, 65535
    )
    flags = np.zeros(packed.shape, np.int8)
    flags[30, 30], truth[30, 30] = 2, np.nan
    angle = 5.6e-5
    rows = np.arange(HEIGHT, dtype=np.int16)
    columns = np.arange(WIDTH, dtype=np.int16)
    shared = {"units": "rad", "scale_factor": np.float32(angle)}
    path = folder / "OR_ABI-L2-CMIPC-M6C13_G16_s20241931817189_e20241931819562_c20241931820064.nc"
    return write_nc(
        path,
        packed.view(np.int16),
        rows=("y", rows, {**shared, "scale_factor": np.float32(-angle), "add_offset": np.float32(0.126532),
                          "standard_name": "projection_y_coordinate"}),
        columns=("x", columns, {**shared, "add_offset": np.float32(-0.075012),
                                "standard_name": "projection_x_coordinate"}),
        attrs={"_FillValue": np.int16(-1), "_Unsigned": "true", "scale_factor": np.float32(0.06145332),
               "add_offset": np.float32(89.62), "units": "K", "standard_name": "toa_brightness_temperature",
               "grid_mapping": "goes_imager_projection"},
        extra={"DQF": (flags, {"_FillValue": np.int8(-1), "units": "1"})},
        grid_mapping=("goes_imager_projection", {
            "grid_mapping_name": "geostationary", "perspective_point_height": 35786023.0,
            "semi_major_axis": 6378137.0, "semi_minor_axis": 6356752.31414,
            "latitude_of_projection_origin": 0.0, "longitude_of_projection_origin": -75.0,
            "sweep_angle_axis": "x"}),
        name="CMI",
    ), truth  # fmt: skip


def slstr(folder):
    truth = with_gap(landscape(low_k=270.0, high_k=300.0)).astype(np.float32)
    kelvin = {"units": "kelvin", "_FillValue": np.float32(np.nan)}
    return write_nc(
        folder / "S3_SLSTR_WST_somewhere_1km.nc",
        truth,
        rows=("lat_intern", degrees(HEIGHT, 44.0, -0.0107), LAT),
        columns=("lon_intern", degrees(WIDTH, -3.9, 0.0107), LON),
        attrs=kelvin,
        extra={
            "brightness_temperature_channel_1": (truth + 1, kelvin),
            "SST_skin_Q4plus": (truth + 2, {"_FillValue": np.float32(np.nan)}),
        },
        time=(0, "days since 2024-05-10 21:44:50"),
        name="brightness_temperature_channel_2",
    ), truth


def ghrsst(folder):
    packed, truth = counts(with_gap(landscape(low_k=280.0, high_k=300.0)), 0.001, 298.15, np.int16, -32768)
    quality = np.full(packed.shape, 5, np.int8)
    quality[30, :3], truth[30, :3] = 1, np.nan
    return write_nc(
        folder / "20240510090000-JPL-L3S_GHRSST-SSTskin-somewhere-v02.0-fv04.1.nc",
        packed,
        rows=("lat", degrees(HEIGHT, 35.0, 0.01).astype(np.float32), LAT),
        columns=("lon", degrees(WIDTH, 8.0, 0.01).astype(np.float32), LON),
        attrs={"_FillValue": np.int16(-32768), "scale_factor": 0.001, "add_offset": 298.15, "units": "kelvin",
               "standard_name": "sea_surface_skin_temperature"},
        extra={"quality_level": (quality, {}), "sses_bias": (packed, {"units": "kelvin"})},
        time=(0, "seconds since 1981-01-01 00:00:00"),
        name="sea_surface_temperature",
    ), truth  # fmt: skip


def netcdf(folder):
    packed, truth = counts(with_gap(landscape()), 0.02, 273.15, np.int16, -32768)
    return write_nc(
        folder / "somewhere.nc",
        packed,
        rows=("lat", degrees(HEIGHT, 33.7, 0.0006), LAT),  # ascending: south-up
        columns=("lon", degrees(WIDTH, -118.4, 0.0006), LON),
        attrs={"_FillValue": np.int16(-32768), "scale_factor": 0.02, "add_offset": 273.15, "units": "K",
               "standard_name": "surface_temperature", "grid_mapping": "crs"},
        extra={"valid": (np.ones(packed.shape, np.int8), {})},
        grid_mapping=("crs", {"grid_mapping_name": "latitude_longitude", "semi_major_axis": 6378137.0,
                              "inverse_flattening": 298.257223563}),
        time=(1690240652, "seconds since 1970-01-01"),
    ), truth  # fmt: skip


def geotiff(folder):
    celsius, kelvin = with_gap(landscape()) - 273.15, with_gap(landscape())
    values = np.where(np.isfinite(celsius), celsius, -9999).astype(np.float32)
    path = write_tif(folder / "thermal.tif", values, nodata=-9999.0, units="degC")
    return path, kelvin


def npz(folder):
    packed, truth = counts(with_gap(landscape()), 0.02, 0.0, np.uint16, 0)
    path = folder / "thermal.npz"
    np.savez_compressed(
        path, data=packed, scale=0.02, offset=0.0, fill=np.uint16(0), units="K", crs="EPSG:32611",
        transform=np.array(tuple(UTM)[:6]), time="2024-05-10T21:44:50Z",
    )  # fmt: skip
    return path, truth


TWINS = {
    "ecostress": ecostress,
    "landsat_l2": landsat_l2,
    "landsat_l1": landsat_l1,
    "modis": modis,
    "goes_abi": goes_abi,
    "slstr": slstr,
    "ghrsst": ghrsst,
    "netcdf": netcdf,
    "geotiff": geotiff,
    "npz": npz,
}
