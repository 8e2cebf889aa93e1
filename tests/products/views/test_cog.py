import numpy as np
import pytest
import rasterio

from pipeline.grid import Window
from pipeline.output_settings import OutputSettings
from pipeline.products.views.cog import write_cogs
from tests.products.known import make_context, make_enhancement

SHAPE = (200, 160)  # at x4 more than one block, so that there are overviews


@pytest.fixture(scope="module", params=["zstd", "deflate"])
def context(request, tmp_path_factory):
    settings = OutputSettings(cog_compression=request.param)
    made = make_context(make_enhancement(shape=SHAPE), tmp_path_factory.mktemp("product"), settings=settings)
    write_cogs(made.files.store, made)
    return made


def test_a_file_says_what_it_holds_and_in_which_unit(context):
    said = {}
    for path in (context.files.temperature_cog, context.files.uncertainty_cog, context.files.quality_cog):
        with rasterio.open(path) as raster:
            said[raster.descriptions[0]] = (raster.units[0], raster.dtypes[0])
            assert raster.tags()["AREA_OR_POINT"] == "Area"
            assert raster.tags()["scene_id"] == "demo-0123abcd"
            assert raster.tags()["sr_scale_factor"] == "4"
            assert raster.compression.value.lower() == context.settings.cog_compression
    assert said == {
        "surface_temperature": ("K", "float32"),
        "surface_temperature_uncertainty": ("K", "float32"),
        "quality_flag": ("1", "uint8"),
    }


def test_missing_kelvin_is_nan(context):
    with rasterio.open(context.files.temperature_cog) as raster:
        assert np.isnan(raster.nodata)
        assert np.isnan(raster.read(1)[3 * 4 : 7 * 4, 5 * 4 : 9 * 4]).all()


def test_an_overview_is_the_mean_of_its_pixels(context):
    pixels = context.enhancement.compute(Window(0, 0, *SHAPE)).temperature[200:600, 200:600]
    with rasterio.open(context.files.temperature_cog, overview_level=0) as raster:
        overview = raster.read(1)[100:300, 100:300]
    blocks = pixels.reshape(200, 2, 200, 2).mean(axis=(1, 3), dtype=np.float64)
    np.testing.assert_allclose(overview, blocks, atol=1e-3)


def test_overviews_of_flags_are_flags(context):
    with rasterio.open(context.files.quality_cog, overview_level=0) as raster:
        assert set(np.unique(raster.read(1))) <= {0, 1, 3}
        assert "3 fallback" in raster.tags()["flag_meanings"]


def test_nothing_but_the_files_is_left(context):
    names = {path.name for path in context.files.folder.iterdir()}
    assert names == {
        f"demo-0123abcd_x4{end}" for end in (".zarr", ".tif", "_uncertainty.tif", "_quality.tif")
    }


@pytest.mark.parametrize("compression", ["zstd", "deflate"])
def test_every_level_of_compression_is_used(tmp_path, compression):
    levels = (3, 9, 19) if compression == "zstd" else (1, 6, 9)
    sizes = []
    for level in levels:
        settings = OutputSettings(cog_compression=compression, compression=level)
        made = make_context(make_enhancement(shape=(60, 60)), tmp_path / f"{level}", settings=settings)
        write_cogs(made.files.store, made)
        sizes.append(made.files.temperature_cog.stat().st_size)
    assert sizes == sorted(set(sizes), reverse=True)


def test_a_level_that_deflate_does_not_have_is_refused():
    with pytest.raises(ValueError, match="compression 19 with cog_compression deflate: 1 to 9 is wanted"):
        OutputSettings(cog_compression="deflate", compression=19)
