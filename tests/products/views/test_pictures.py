import numpy as np
import pytest
from PIL import Image

from pipeline.grid import Window
from pipeline.output_settings import OutputSettings
from pipeline.products.views.overview import array_reader, enlarged_reader, shrink, shrink_factor
from pipeline.products.views.palette import ColorScale, color_scale, palette_bytes
from pipeline.products.views.pictures import write_pictures
from tests.products.known import make_context, make_enhancement


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    made = make_context(make_enhancement(shape=(40, 60)), tmp_path_factory.mktemp("product"))
    write_pictures(made.files.store, made)
    return made


def indices(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def words(path):
    with Image.open(path) as picture:
        return dict(picture.text)


PICTURES = ("original_turbo", "enhanced_turbo", "original_gray", "enhanced_gray", "comparison")


def test_all_pictures_share_one_scale_and_say_it(context):
    scale = color_scale(context.enhancement.scene.temperature)
    for name in PICTURES:
        said = words(getattr(context.files, name))
        assert (said["vmin_K"], said["vmax_K"]) == (f"{scale.low_k:.3f}", f"{scale.high_k:.3f}")
        assert said["cmap"] == ("gray" if "gray" in name else "turbo")


def test_the_scale_is_the_2nd_to_98th_percentile_of_the_input():
    scale = color_scale(np.linspace(250, 350, 10001, dtype=np.float32).reshape(73, 137))
    assert (scale.low_k, scale.high_k) == (pytest.approx(252), pytest.approx(348))


def test_a_pixel_of_the_scene_is_a_pixel_of_the_picture(context):
    temperature = context.enhancement.scene.temperature
    scale = color_scale(temperature)
    for name in ("original_turbo", "original_gray"):
        picture = indices(getattr(context.files, name))
        np.testing.assert_array_equal(picture[:40, :60], scale.indices(temperature))


def test_the_same_temperature_has_the_same_color_before_and_after(context):
    scale = color_scale(context.enhancement.scene.temperature)
    enhanced = indices(context.files.enhanced_turbo)[:160, :240]
    pixels = context.enhancement.compute(Window(0, 0, 40, 60)).temperature
    np.testing.assert_array_equal(enhanced, scale.indices(pixels))


def test_missing_pixels_are_transparent_and_valid_ones_are_not(context):
    with Image.open(context.files.original_turbo) as picture:
        alpha = np.asarray(picture.convert("RGBA"))[:40, :60, 3]
    np.testing.assert_array_equal(alpha == 0, np.isnan(context.enhancement.scene.temperature))


def test_warm_is_red_and_cold_is_blue():
    colors = np.frombuffer(palette_bytes("turbo"), np.uint8).reshape(256, 3).astype(int)
    coldish, warmish = ColorScale(290, 310).indices(np.array([[292, 308]], np.float32))[0]
    assert colors[coldish, 2] > colors[coldish, 0]
    assert colors[warmish, 0] > colors[warmish, 2]


def test_gray_grows_with_temperature():
    colors = np.frombuffer(palette_bytes("gray"), np.uint8).reshape(256, 3)
    ramp = ColorScale(290, 310).indices(np.linspace(290, 310, 200, dtype=np.float32)[None])[0]
    assert (np.diff(colors[ramp, 0].astype(int)) >= 0).all()
    assert (colors[ramp[0], 0], colors[ramp[-1], 0]) == (0, 255)


def test_a_legend_is_attached_below_in_every_picture(context):
    for name in PICTURES:
        with Image.open(getattr(context.files, name)) as picture:
            height, colors = picture.height, np.asarray(picture.convert("RGBA"))
        strip = colors[height - 50 :]
        assert (strip[..., 3] == 255).all()
        assert (strip[..., :3].max(axis=2) < 64).any()  # letters
        assert len(np.unique(strip.reshape(-1, 4), axis=0)) > 100  # the ramp


def test_beyond_the_limit_a_picture_is_an_overview(tmp_path):
    context = make_context(
        make_enhancement(shape=(40, 60)), tmp_path, settings=OutputSettings(preview_max_px=100)
    )
    write_pictures(context.files.store, context)
    enhanced = indices(context.files.enhanced_turbo)
    pixels = context.enhancement.compute(Window(0, 0, 40, 60)).temperature.astype(np.float64)
    padded = np.pad(pixels, ((0, 2), (0, 0)), constant_values=np.nan)
    blocks = padded.reshape(54, 3, 80, 3).transpose(0, 2, 1, 3).reshape(54, 80, 9)
    means = np.full((54, 80), np.nan)
    some = np.isfinite(blocks).any(axis=2)
    means[some] = np.nanmean(blocks[some], axis=1)
    scale = color_scale(context.enhancement.scene.temperature)
    np.testing.assert_array_equal(enhanced[:54, :80], scale.indices(means.astype(np.float32)))


@pytest.mark.parametrize("shape", [(7, 11), (2048, 3), (1025, 1030)])
@pytest.mark.parametrize("factor", [1, 2, 3, 7])
def test_a_shrunk_constant_is_the_constant(shape, factor):
    small = shrink(array_reader(np.full(shape, 281.25, np.float32)), shape, factor)
    assert small.shape == (-(-shape[0] // factor), -(-shape[1] // factor))
    assert (small == 281.25).all()


def test_before_and_after_are_averaged_alike():
    values = np.random.default_rng(0).normal(300, 5, (20, 30)).astype(np.float32)
    enlarged = values.repeat(4, 0).repeat(4, 1)
    np.testing.assert_array_equal(
        shrink(enlarged_reader(values, 4), (80, 120), 6), shrink(array_reader(enlarged), (80, 120), 6)
    )


@pytest.mark.parametrize(
    ("size", "limit", "factor"), [(100, 100, 1), (101, 100, 2), (1, 64, 1), (6272, 4096, 2)]
)
def test_the_smallest_factor_that_fits_is_taken(size, limit, factor):
    assert shrink_factor((5, size), limit) == factor
