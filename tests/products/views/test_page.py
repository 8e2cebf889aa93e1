"""The page of a product in a real browser without a network: its numbers are the store's."""

import dataclasses
import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
from pyproj import Transformer

from pipeline.output_settings import OutputSettings
from pipeline.products.store.zarr_store import open_store, temperature_name
from pipeline.products.views import page, page_data
from pipeline.products.views.page_data import (
    around,
    guide_layer,
    measured_layer,
    notable_places,
    overview_layers,
    pack_kelvin,
)
from pipeline.scene import FLAG_MEANINGS
from tests.browser import needs_browser, open_page
from tests.products.known import make_context, make_enhancement

EVIL = "<script>document.title='taken'</script>\"'\u202egnp"


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    made = make_context(make_enhancement(shape=(30, 26)), tmp_path_factory.mktemp("product"))
    page.write_page(made.files.store, made)
    return made


def kelvin(context):
    with open_store(context.files.store) as store:
        name = temperature_name(store)
        return (
            np.asarray(store[name]),
            np.asarray(store[f"{name}_uncertainty"]),
            np.asarray(store.quality_flag),
        )


def click(browser, row, column):
    """Click the middle of a pixel of the product, wherever the picture shows it now."""
    view = browser.locator("#view")
    facts = view.evaluate("canvas => ({...canvas.dataset})")
    box, zoom = view.bounding_box(), float(facts["zoom"])
    x = box["x"] + box["width"] / 2 + (column + 0.5 - float(facts["column"])) * zoom
    y = box["y"] + box["height"] / 2 + (row + 0.5 - float(facts["row"])) * zoom
    browser.mouse.click(x, y)


def test_codes_are_a_hundredth_of_a_kelvin():
    values = np.array([[290.004, np.nan], [655.0, 300.0]], np.float32)
    packed = pack_kelvin(values)
    assert packed["step_k"] == 0.01
    assert packed["offset_k"] == pytest.approx(290.0, abs=0.011)


def test_a_span_that_does_not_fit_gets_a_larger_step():
    assert pack_kelvin(np.array([[100.0, 3000.0]], np.float32))["step_k"] > 0.04


@pytest.mark.parametrize("limit_px", [768, 256])
def test_how_many_bytes_a_page_takes_is_told_by_a_piece_of_it(tmp_path, monkeypatch, limit_px):
    context = make_context(make_enhancement(shape=(160, 130)), tmp_path)
    monkeypatch.setattr(page_data, "SAMPLE_PX", 120)
    with open_store(context.files.store) as dataset:
        told = page_data.likely_bytes(context, dataset, limit_px)
        layers, _ = overview_layers(context, dataset, limit_px)
    kelvin = (layers.product, layers.bicubic, layers.uncertainty, measured_layer(context, limit_px)[0])
    assert told == pytest.approx(sum(len(pack_kelvin(each)["bytes"]) for each in kelvin), rel=0.3)


def test_sizes_that_are_hopeless_are_not_tried(context, monkeypatch, tmp_path):
    tried = []
    monkeypatch.setattr(page, "LARGEST_BYTES", 1000)
    monkeypatch.setattr(page, "_page", lambda _context, _dataset, limit_px: tried.append(limit_px) or b"")
    page.write_page(context.files.store, make_context(make_enhancement(shape=(30, 26)), tmp_path))
    assert tried == [512]


@needs_browser
@pytest.mark.parametrize("place", [(5, 7), (60, 71), (119, 103), (13, 40)], ids=str)
def test_a_click_tells_the_numbers_of_the_store(context, place):
    temperature, sigma, flag = kelvin(context)
    with open_page(context.files.page) as browser:
        click(browser, *place)
        told = browser.locator("#readout").inner_text()
    if np.isnan(temperature[place]):
        assert "product: no data" in told
    else:
        number, error = told.split("product ")[1].split(" K")[0], told.split("± ")[1].split(" K")[0]
        assert float(number) == pytest.approx(temperature[place], abs=0.0101)
        assert float(error) == pytest.approx(sigma[place], abs=0.0101)
    assert f"flag: {FLAG_MEANINGS[int(flag[place])].replace('_', ' ')}" in told
    assert f"row {place[0]}, column {place[1]}" in told


@needs_browser
def test_a_page_says_that_it_loads_until_its_pixels_are_there(context):
    look = """window.seen = [];
        window.look = () => seen.push([document.querySelector("main").ariaBusy, loading.innerText]);
        document.addEventListener("DOMContentLoaded", look);"""
    with open_page(context.files.page, before=look) as browser:
        browser.evaluate("look()")
        assert browser.evaluate("seen") == [["true", "Loading: the pixels are being unpacked."], [None, ""]]
        assert browser.locator("#loading").get_attribute("role") == "status"


@needs_browser
def test_a_browser_that_cannot_unpack_the_pixels_says_so(context):
    with open_page(context.files.page, before="delete window.DecompressionStream") as browser:
        assert "This browser cannot show the pixels" in browser.locator("#loading").inner_text()
        assert browser.locator("main").get_attribute("aria-busy") is None


@needs_browser
def test_map_coordinates_and_degrees_are_those_of_the_grid(context):
    grid = context.enhancement.grid
    with open_page(context.files.page) as browser:
        click(browser, 17, 33)
        told = browser.locator("#readout").inner_text()
    x, y = grid.center_x()[33], grid.center_y()[17]
    assert "(EPSG:32633)" in told
    assert float(told.split("\nx ")[1].split(",")[0]) == pytest.approx(x, abs=0.051)
    assert float(told.split(", y ")[1].split(" (")[0]) == pytest.approx(y, abs=0.051)
    longitude, latitude = Transformer.from_crs(32633, 4326, always_xy=True).transform(x, y)
    assert float(told.split("longitude ")[1].split(",")[0]) == pytest.approx(longitude, abs=2e-6)
    assert float(told.split("latitude ")[1].split("\n")[0]) == pytest.approx(latitude, abs=2e-6)


@needs_browser
def test_a_box_and_a_profile_equal_numpy(context):
    temperature, _, _ = kelvin(context)
    piece = temperature[20:61, 30:81]
    with open_page(context.files.page) as browser:
        browser.locator("#box").click()
        click(browser, 20, 30)
        click(browser, 60, 80)
        told = browser.locator("#statistics").inner_text()
        browser.locator("#profile").click()
        click(browser, 40, 10)
        click(browser, 40, 90)
        csv = browser.locator("#chart").get_attribute("data-csv").splitlines()
    assert f"{np.isfinite(piece).sum()} of {piece.size} pixels" in told
    for word, value in (
        ("mean", np.nanmean(piece)),
        ("minimum", np.nanmin(piece)),
        ("maximum", np.nanmax(piece)),
    ):
        assert float(re.search(rf"{word} ([0-9.]+)", told)[1]) == pytest.approx(value, abs=0.0151)
    line = np.array([[float(cell) for cell in row.split(",")] for row in csv[1:]])
    np.testing.assert_allclose(line[:, 4], temperature[40, 10:91], atol=0.0101)


@needs_browser
def test_the_error_of_a_mean_is_that_of_the_self_test_over_the_largest_area_that_fits(tmp_path):
    figures = {"area_error_1px_k": 0.2, "area_error_4px_k": 0.08, "area_error_64px_k": 0.011}
    context = make_context(make_enhancement(shape=(30, 26)), tmp_path, figures=figures)
    page.write_page(context.files.store, context)
    with open_page(context.files.page) as browser:
        browser.locator("#box").click()
        click(browser, 48, 48)
        click(browser, 63, 63)  # 16 scene pixels
        told = browser.locator("#statistics").inner_text()
    assert "this mean: ± 0.080 K by the self-test over 4 scene pixels" in told
    assert "calibration and emissivity come on top" in told


@needs_browser
def test_the_keyboard_reaches_every_pixel_and_tool(context):
    temperature, _, _ = kelvin(context)
    with open_page(context.files.page) as browser:
        browser.locator("#view").focus()
        for key in (
            "ArrowDown",
            "ArrowDown",
            "Shift+ArrowRight",
            "+",
            "b",
            "Enter",
            "Shift+ArrowDown",
            "Enter",
        ):
            browser.keyboard.press(key)
        told, box = browser.locator("#readout").inner_text(), browser.locator("#statistics").inner_text()
    row, column = (int(word) for word in told.splitlines()[0].replace("row ", "").split(", column "))
    assert (row, column) == (71, 62)
    assert float(told.split("product ")[1].split(" K")[0]) == pytest.approx(temperature[71, 62], abs=0.0101)
    assert "rows 61 to 71, columns 62 to 62" in box


@needs_browser
def test_the_divider_moves_and_changes_the_picture(context):
    with open_page(context.files.page) as browser:
        before = browser.locator("#view").screenshot()
        box = browser.locator("#view").bounding_box()
        browser.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
        browser.mouse.down()
        browser.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 40, steps=4)
        browser.mouse.up()
        assert float(browser.locator("#divider").input_value()) == pytest.approx(90, abs=1)
        assert browser.locator("#view").screenshot() != before


@needs_browser
def test_a_page_takes_the_color_scale_of_another(context):
    with open_page(context.files.page, hash_="#scale=280.00,320.00,gray") as browser:
        assert browser.locator("#low").input_value() == "280.00"
        assert browser.locator("#colors").input_value() == "gray"
        browser.locator("#unit").select_option("C")
        assert browser.locator("#low").input_value() == "6.85"


@needs_browser
@pytest.mark.skipif(importlib.util.find_spec("axe_playwright_python") is None, reason="axe is not installed")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_audit_of_accessibility_finds_nothing(context, scheme):
    from axe_playwright_python.sync_playwright import Axe

    with open_page(context.files.page, scheme=scheme, checked=False) as browser:
        found = Axe().run(browser).response["violations"]
    assert [(one["id"], one["impact"]) for one in found] == []


@needs_browser
def test_words_of_a_file_stay_words(tmp_path):
    enhancement = make_enhancement()
    scene = dataclasses.replace(
        enhancement.scene, sensor=dataclasses.replace(enhancement.scene.sensor, name=EVIL)
    )
    context = make_context(dataclasses.replace(enhancement, scene=scene), tmp_path)
    page.write_page(context.files.store, context)
    with open_page(context.files.page) as browser:
        assert browser.title() == context.files.stem
        assert "<script>document.title" in browser.locator("#about").inner_text()


@needs_browser
def test_a_large_product_has_full_pixels_where_it_matters(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "_LIMITS_PX", (64,))
    context = make_context(make_enhancement(shape=(150, 140)), tmp_path)
    page.write_page(context.files.store, context)
    temperature, _, _ = kelvin(context)
    with open_store(context.files.store) as store:
        layers, factor = overview_layers(context, store, 64)
    assert factor == 10
    places = notable_places(layers, factor, context)
    (why, row, column), *_ = places
    assert why == "hottest"
    outside = np.ones(temperature.shape, bool)
    for _, *middle in places:
        outside[around(*middle, temperature.shape).slices] = False
    far = tuple(int(at) for at in np.argwhere(outside & np.isfinite(temperature))[0])
    with open_page(context.files.page) as browser:
        browser.locator("#places").select_option(index=1)
        exact = browser.locator("#readout").inner_text()
        browser.locator("#fit").click()
        click(browser, *far)
        coarse = browser.locator("#readout").inner_text()
    assert float(exact.split("product ")[1].split(" K")[0]) == pytest.approx(
        temperature[row, column], abs=0.0101
    )
    assert "means of" not in exact
    assert "means of 10 x 10 pixels" in coarse


@needs_browser
def test_a_guide_is_a_layer_with_the_values_of_its_file(tmp_path):
    enhancement = make_enhancement(shape=(30, 26))
    fine = enhancement.grid.refine(2)  # half of the product's pixels; it ends in the middle
    values = np.fromfunction(lambda row, column: row + 0.01 * column, (fine.height, fine.width // 2))
    profile = {"driver": "GTiff", "count": 1, "dtype": "float32", "crs": fine.crs_wkt, "nodata": -1.0}
    with rasterio.open(
        tmp_path / "guide.tif", "w", **profile, height=values.shape[0], width=values.shape[1],
        transform=fine.transform,
    ) as raster:  # fmt: skip
        raster.write(values.astype(np.float32), 1)
    settings = OutputSettings(guide=tmp_path / "guide.tif")
    context = make_context(enhancement, tmp_path, settings=settings)
    page.write_page(context.files.store, context)
    with open_page(context.files.page) as browser:
        click(browser, 40, 11)
        wanted = values[80:82, 22:24].mean()
        told = re.search(r"guide ([0-9.]+)", browser.locator("#readout").inner_text())
        assert float(told[1]) == pytest.approx(wanted, abs=0.01)
        click(browser, 40, 90)
        assert "guide: no data" in browser.locator("#readout").inner_text()
        before = browser.locator("#view").screenshot()
        browser.locator("#left").select_option("guide")
        assert browser.locator("#view").screenshot() != before
        assert "Left: guide." in browser.locator("#legend-words").inner_text()


@pytest.mark.parametrize("content", [None, b"no TIFF"])
def test_a_guide_that_cannot_be_read_is_said_and_left_out(tmp_path, content, caplog):
    if content is not None:
        (tmp_path / "guide.tif").write_bytes(content)
    context = make_context(
        make_enhancement(), tmp_path, settings=OutputSettings(guide=tmp_path / "guide.tif")
    )
    assert guide_layer(context, 512) is None
    assert "guide.tif: output.guide cannot be shown" in caplog.text


def test_pages_can_be_left_out(tmp_path):
    context = make_context(make_enhancement(), tmp_path)
    settings = context.settings.model_copy(update={"pages": False})
    assert page.write_page(context.files.store, dataclasses.replace(context, settings=settings)) == []
    assert not context.files.page.exists() or Path(context.files.page).stat().st_size
