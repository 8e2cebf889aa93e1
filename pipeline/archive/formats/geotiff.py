"""GeoTIFF, opened so that a hostile file leads to no other file and to no address.

Only GDAL's GTiff driver may open it, so a VRT or a URL in a .tif is no picture; GDAL
may look at no neighbor (.aux.xml, .ovr, .msk, world files, MTL): what the file itself
does not say is unknown.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from jaxtyping import Bool, Shaped
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Interleaving, MaskFlags
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError, RasterioIOError

from pipeline.archive.bounds import refuse_bomb
from pipeline.archive.decode import Stored, stated
from pipeline.archive.formats.tiff_tags import refuse_cut_short
from pipeline.archive.placement import Placement, checked_transform, crs_from_text
from pipeline.errors import UnusableInputError
from pipeline.files import first_bytes
from pipeline.radiometry import known_temperature_units
from pipeline.settings import ArchiveSettings, ProductRule
from pipeline.text import shortened

_TIFF_MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_ALONE = {
    "GDAL_CACHEMAX": 64,  # MB; its own choice is a share of the machine's memory
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_TIFF_INTERNAL_MASK": "YES",
    "GTIFF_REPORT_COMPD_CS": "NO",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
}
_WARNINGS = threading.Lock()  # warnings.catch_warnings is not thread-safe
_LIBRARY_ERRORS = (RasterioError, CRSError, ValueError, TypeError, OverflowError)


@dataclass(frozen=True)
class Raster:
    """One band of a GeoTIFF as it is stored, and all its file says.

    Attributes:
        values: (y, x) stored numbers.
        missing: (y, x) bool, true where the file's own mask says so; None without a mask.
        description: Name of the band, or "band 1".
        nodata: The file's no-data number.
        scale: The band's scale.
        offset: The band's offset.
        units: The band's or the file's unit; None where neither has one.
        tags: The file's tags, then the band's.
        placement: Where it lies.
        masks: Other files that `missing` came from, in words.
    """

    values: Shaped[NDArray[np.generic], "y x"]
    missing: Bool[NDArray[np.bool_], "y x"] | None
    description: str
    nodata: float | None
    scale: float
    offset: float
    units: str | None
    tags: Mapping[str, str]
    placement: Placement
    masks: tuple[str, ...] = ()

    def stored(self) -> Stored:
        """The numbers with what the file says of them."""
        fills = () if self.nodata is None else (self.nodata,)
        facts = stated("GeoTIFF", scaling=(self.scale, self.offset), fills=fills)
        if self.units:
            facts["units"] = "GeoTIFF"
        if self.masks:
            facts["mask"] = "; ".join(self.masks)
        return Stored(
            self.values,
            self.description,
            self.missing,
            self.scale,
            self.offset,
            self.units,
            fills,
            None,
            facts,
        )


def is_tiff(path: Path) -> bool:
    """Whether the file begins like a TIFF; raises OSError where storage refuses."""
    return first_bytes(path, 4) in _TIFF_MAGIC


def read_geotiff(path: Path, settings: ArchiveSettings, rule: ProductRule | None = None) -> Raster:
    """The one temperature band of a GeoTIFF.

    Raises:
        UnusableInputError: If it is no GeoTIFF, is damaged, too large, or has several bands of which none
            can be chosen.
    """
    if not is_tiff(path):
        raise UnusableInputError(f"is no TIFF: {what_instead(path)}")
    refuse_cut_short(path)
    try:
        with rasterio.Env(**_ALONE), _open(path) as dataset:
            return _read(dataset, path, settings, rule)
    except UnusableInputError:
        raise
    except RasterioIOError as error:
        raise UnusableInputError(f"cannot be read, it is cut short or damaged ({_reason(error)})") from error
    except _LIBRARY_ERRORS as error:
        raise UnusableInputError(f"its TIFF tags make no sense ({_reason(error)})") from error


def tiff_time(path: Path) -> str | None:
    """The TIFF's own date tag, as it is spelled; None where it has none or cannot be opened."""
    try:
        with rasterio.Env(**_ALONE), _open(path) as dataset:
            return dict(dataset.tags()).get("TIFFTAG_DATETIME")
    except _LIBRARY_ERRORS:
        return None


def tiff_pixels(path: Path) -> int:
    """Pixels of the picture, by its tags; 0 where it cannot be opened."""
    try:
        with rasterio.Env(**_ALONE), _open(path) as dataset:
            return int(dataset.width * dataset.height)
    except _LIBRARY_ERRORS:
        return 0


def _open(path: Path) -> rasterio.DatasetReader:
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(str(path.absolute()), driver="GTiff", sharing=False)


def _read(
    dataset: rasterio.DatasetReader, path: Path, settings: ArchiveSettings, rule: ProductRule | None
) -> Raster:
    _check_size(dataset, path, settings)
    placement = _placement(dataset)
    band = _band(dataset, rule)
    if np.dtype(dataset.dtypes[band - 1]).kind not in "iuf":
        raise UnusableInputError(f"its pixels are {dataset.dtypes[band - 1]}, real numbers are wanted")
    tags = {**dataset.tags(), **dataset.tags(band)}
    scale, offset, units = _meaning(dataset, band, tags)
    missing = None
    if MaskFlags.per_dataset in dataset.mask_flag_enums[band - 1]:
        missing = dataset.read_masks(band) == 0
    return Raster(
        values=dataset.read(band),
        missing=missing,
        description=shortened(dataset.descriptions[band - 1] or f"band {band}"),
        nodata=dataset.nodatavals[band - 1],
        scale=scale,
        offset=offset,
        units=units,
        tags=tags,
        placement=placement,
    )


def _meaning(
    dataset: rasterio.DatasetReader, band: int, tags: Mapping[str, str]
) -> tuple[float, float, str | None]:
    """Scale, offset and unit, from the band's own fields or from tags of NetCDF's spelling."""
    scale, offset = float(dataset.scales[band - 1]), float(dataset.offsets[band - 1])
    if (scale, offset) == (1.0, 0.0):
        scale, offset = float(tags.get("scale_factor", "1")), float(tags.get("add_offset", "0"))
    if not (math.isfinite(scale) and math.isfinite(offset)) or scale == 0:
        raise UnusableInputError(f"its scale {scale:g} and offset {offset:g} decode nothing")
    units = dataset.units[band - 1] or tags.get("units") or tags.get("UNITS") or None
    return scale, offset, units


def _check_size(dataset: rasterio.DatasetReader, path: Path, settings: ArchiveSettings) -> None:
    height, width = dataset.shape
    pixels = height * width
    if pixels > settings.max_pixels:
        raise UnusableInputError(
            f"has {height} x {width} pixels, archive.max_pixels allows {settings.max_pixels}"
        )
    item = max(np.dtype(kind).itemsize for kind in dataset.dtypes if kind in np.sctypeDict)
    block = max(rows * columns for rows, columns in dataset.block_shapes)
    if block > max(4 * pixels, 1 << 24):
        raise UnusableInputError(
            f"stores {height} x {width} pixels in blocks of {block} pixels: damaged or hostile"
        )
    bands = dataset.count if dataset.interleaving == Interleaving.pixel else 1
    refuse_bomb("it", (height, width), item, path, settings, chunk_bytes=block * bands * item)


def _band(dataset: rasterio.DatasetReader, rule: ProductRule | None) -> int:
    """The band to read, 1-based: the rule's, the only one, or the only one that is called a temperature."""
    names = [name or "" for name in dataset.descriptions]
    if rule is not None and rule.variable is not None:
        if rule.variable in names:
            return names.index(rule.variable) + 1
        if rule.variable.isdigit() and 1 <= int(rule.variable) <= dataset.count:
            return int(rule.variable)
        raise UnusableInputError(f"has no band {rule.variable!r}; it has {dataset.count}: {_listed(names)}")
    bands = [index for index, kind in enumerate(dataset.colorinterp, 1) if kind != ColorInterp.alpha]
    thermal = [band for band in bands if known_temperature_units(dataset.units[band - 1])]
    if len(bands) == 1 or len(thermal) == 1:
        return (bands if len(bands) == 1 else thermal)[0]
    raise UnusableInputError(
        f"has {dataset.count} bands ({_listed(names)}) and one temperature is wanted; name it as variable in "
        "[[archive.products]]"
    )


def _listed(names: list[str]) -> str:
    shown = [shortened(name, 30) or str(index) for index, name in enumerate(names[:6], 1)]
    return ", ".join(shown) + (", ..." if len(names) > 6 else "")


def _placement(dataset: rasterio.DatasetReader) -> Placement:
    transform: Affine | None = checked_transform(list(dataset.transform))
    if transform is None and (dataset.gcps[0] or dataset.rpcs):
        raise UnusableInputError(
            "has only ground control points, no grid: a swath; resample it to a grid first"
        )
    crs = None if dataset.crs is None else crs_from_text(dataset.crs.to_wkt())
    if transform is None:
        return Placement()
    return Placement(crs, transform, "GeoTIFF" if crs else "", "GeoTIFF")


def what_instead(path: Path) -> str:
    """What a file is that is not what its name says."""
    start = first_bytes(path, 64)
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer; fetch the real file with git lfs pull"
    if not start:
        return "the file is empty"
    if start.startswith((b"\x89PNG", b"\xff\xd8\xff")):
        return "a picture, which has no kelvin; `thermal-sr picture FILE` enlarges one"
    return f"it begins with {shortened(start[:16].decode('latin-1'))!r}"


def _reason(error: Exception) -> str:
    return shortened(
        str(error).replace("\n", " ").split("See previous")[0].strip(" .") or type(error).__name__, 100
    )
