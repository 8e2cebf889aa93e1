"""Values along time: the pixel at a point, the mean over an area, and how wrong it may be."""

import csv
import importlib.util
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import Transformer
from typer.testing import CliRunner

from flows.cli import app
from pipeline.desk.cube import open_products
from pipeline.desk.series import mean_over, read_polygon, values_at
from pipeline.desk.series_page import series_page
from pipeline.errors import SettingsError, UnusableInputError
from pipeline.products.publish import publish
from tests.browser import needs_browser, open_page
from tests.products.known import UTM, make_enhancement, manifest_of, stage_product

ORIGIN = Affine(70, 0, 399960, 0, -70, 5300040)
KNOWN = {"area_error_1px_k": 0.2, "area_error_4px_k": 0.08, "area_error_64px_k": 0.011}
TO_DEGREES = Transformer.from_crs(32633, 4326, always_xy=True)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Two dates of a place; the first has a self-test."""
    out = tmp_path_factory.mktemp("out")
    for day, digest, figures in (
        ("2024-07-28T20:40:25Z", "0123abcd", KNOWN),
        ("2024-08-01T00:00:00Z", "1123abcd", {}),
    ):
        enhancement = make_enhancement((UTM, ORIGIN), acquired=day, scene_id=f"demo-{digest}", holes=False)
        told = {"day_or_night": "night"} if figures else {}
        scene = replace(enhancement.scene, edition=told)
        enhancement = replace(enhancement, scene=scene, figures=figures)
        staging, final = stage_product(out, enhancement)
        publish(staging, final, manifest_of(enhancement))
    return out


@pytest.fixture(scope="module")
def cube(out):
    return open_products(out)


def test_the_mean_over_a_box_is_numpys_and_has_the_error_of_the_largest_area_that_fits(cube):
    corners = TO_DEGREES.transform_bounds(400000, 5299000, 400490, 5299490)  # 28 x 28 pixels of the product
    found = mean_over(cube, corners)
    west, south, east, north = Transformer.from_crs(4326, 32633, always_xy=True).transform_bounds(*corners)
    part = cube.surface_temperature.sel(x=slice(west, east), y=slice(north, south)).values
    np.testing.assert_allclose(found.mean_k, part.astype(np.float64).mean((1, 2)), atol=1e-9)
    assert found.scene_pixels.values.tolist() == [part[0].size / 16] * 2
    assert 4 <= part[0].size / 16 < 64
    assert float(found.error_k[0]) == 0.08
    assert np.isnan(found.error_k[1])
    with pytest.raises(UnusableInputError, match="no pixel lies in the box"):
        mean_over(cube, (0, 0, 1, 1))


def test_scene_pixels_are_those_of_the_date_s_own_scene_where_grids_differ(tmp_path):
    for digest, wider in (("0123abcd", 1), ("1123abcd", 2)):
        place = ORIGIN @ Affine.scale(wider)
        enhancement = make_enhancement(
            (UTM, place), acquired=f"2024-07-2{wider}T20:40:25Z", scene_id=f"demo-{digest}", holes=False
        )
        staging, final = stage_product(tmp_path, replace(enhancement, figures=KNOWN))
        publish(staging, final, manifest_of(enhancement))
    cube = open_products(tmp_path)
    assert cube.scene_pixel_px.values.tolist() == [4, 8]
    found = mean_over(cube, TO_DEGREES.transform_bounds(400000, 5299000, 400840, 5299840))
    assert float(found.scene_pixels[0]) == pytest.approx(4 * float(found.scene_pixels[1]), rel=0.05)


def degrees(*corners):
    """A polygon in degrees from corners on the map."""
    return shapely.Polygon([TO_DEGREES.transform(*corner) for corner in corners])


def test_the_mean_over_a_polygon_is_that_of_the_pixels_with_their_center_inside(cube):
    corners = (400000, 5298700), (400900, 5298900), (400500, 5299800)
    found = mean_over(cube, degrees(*corners))
    x, y = np.meshgrid(cube.x, cube.y)
    inside = shapely.contains_xy(shapely.Polygon(corners), x, y)
    assert 500 < inside.sum() < inside.size / 2
    for date in (0, 1):
        wanted = cube.surface_temperature.values[date][inside].astype(np.float64).mean()
        assert float(found.mean_k[date]) == pytest.approx(
            wanted, abs=1e-3
        )  # sides are bent by less than a pixel
    assert float(found.scene_pixels[0]) == pytest.approx(inside.sum() / 16, abs=0.2)


def test_an_error_is_that_of_whole_scene_pixels_and_says_so(cube):
    wide = mean_over(cube, degrees((400000, 5298700), (400600, 5298900), (400300, 5299500)))
    assert 4 <= int(wide.whole_scene_pixels[0]) < 64
    assert float(wide.error_k[0]) == 0.08
    assert "self-test over 4 of" in str(wide.assumption.values[0])
    assert "calibration and emissivity come on top" in str(wide.assumption.values[0])
    assert str(wide.assumption.values[1]) == "no self-test tells it"
    # A strip of one pixel of the product has as many pixels, and holds no whole scene pixel.
    strip = mean_over(
        cube, degrees((400000, 5299000), (401300, 5299000), (401300, 5299018), (400000, 5299018))
    )
    assert int(strip.whole_scene_pixels[0]) == 0
    assert 0.1 <= float(strip.error_k[0]) <= 0.14  # the mean of the pixels' own
    assert "at most" in str(strip.assumption.values[0])


def test_a_mean_says_how_much_of_its_area_the_masks_left(out):
    masked = open_products(out, flags=[0])  # every seventh row of the product has another flag
    found = mean_over(masked, TO_DEGREES.transform_bounds(400000, 5299000, 400490, 5299490))
    assert found.covered_fraction.values.tolist() == pytest.approx([6 / 7] * 2, abs=0.02)
    assert "14% of the area have no data or are masked" in str(found.assumption.values[0])
    whole = mean_over(open_products(out), TO_DEGREES.transform_bounds(400000, 5299000, 400490, 5299490))
    assert whole.covered_fraction.values.tolist() == [1, 1]
    assert "masked" not in str(whole.assumption.values)


def test_a_table_says_why_a_date_is_empty_and_names_each_product(out):
    field = degrees((400000, 5298700), (400600, 5298900), (400300, 5299500))
    table = mean_over(open_products(out, flags=[6]), field).to_dataframe()
    assert table.mean_k.isna().all()
    assert "passes the masks; a scene that fell back has flag 3" in table.assumption.iloc[0]
    assert "spatial_ref" not in table
    assert table.scene_id.tolist() == ["demo-0123abcd", "demo-1123abcd"]


def test_a_cube_says_nothing_of_one_product_alone(cube):
    assert cube.attrs["sr_scale_factor"] == 4
    assert not {"id", "title", "time_coverage_start", "input_sha256"} & set(cube.attrs)


def test_a_point_has_the_pixel_that_holds_it(cube):
    row, column = 40, 33
    longitude, latitude = TO_DEGREES.transform(float(cube.x[column]) + 8, float(cube.y[row]) - 8)
    found = values_at(cube, longitude, latitude)
    np.testing.assert_array_equal(found.kelvin, cube.surface_temperature.values[:, row, column])
    np.testing.assert_array_equal(found.error_k, cube.surface_temperature_uncertainty.values[:, row, column])
    np.testing.assert_array_equal(found.flag, cube.quality_flag.values[:, row, column])
    with pytest.raises(UnusableInputError, match="no pixel lies at 3 degrees east"):
        values_at(cube, 3.0, 4.0)


def series(*words):
    result = CliRunner().invoke(app, ["series", *map(str, words)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_table_on_the_terminal_is_followed_by_the_meaning_of_each_column(out, tmp_path):
    area = degrees((400000, 5298700), (400900, 5298900), (400500, 5299800))
    (tmp_path / "area.geojson").write_text(shapely.to_geojson(area))
    result = CliRunner().invoke(app, ["series", str(out), "--polygon", str(tmp_path / "area.geojson")])
    columns = result.stdout.splitlines()[0].split(",")
    explained = [line.split(": ")[0] for line in result.stderr.splitlines() if ": " in line]
    assert {"mean_k", "error_k", "covered_fraction", "whole_scene_pixels"} <= set(explained) <= set(columns)


def test_the_command_writes_a_table_with_a_line_for_every_date(out, cube, tmp_path):
    area = degrees((400000, 5298700), (400900, 5298900), (400500, 5299800))
    (tmp_path / "area.geojson").write_text(
        json.dumps({"type": "Feature", "geometry": shapely.geometry.mapping(area)})
    )
    series(out, "--polygon", tmp_path / "area.geojson", "--csv", tmp_path / "a.csv")
    lines = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text())))
    assert [line["time"] for line in lines] == ["2024-07-28T20:40:25Z", "2024-08-01T00:00:00Z"]
    assert float(lines[0]["mean_k"]) == pytest.approx(float(mean_over(cube, area).mean_k[0]), abs=1e-4)
    assert lines[0]["error_k"] == "0.0110"
    longitude, latitude = TO_DEGREES.transform(400500, 5299000)
    shown = series(out, "--at", f"{longitude},{latitude}", "--since", "2024-08-01").splitlines()
    assert len(shown) == 2
    assert shown[1].startswith("2024-08-01T00:00:00Z,demo-1123abcd,")


@needs_browser
def test_the_page_shows_the_table_s_numbers_and_every_key_reaches_a_date(out, tmp_path):
    longitude, latitude = TO_DEGREES.transform(400500, 5299000)
    files = ("--csv", tmp_path / "a.csv", "--html", tmp_path / "a.html")
    series(out, "--at", f"{longitude},{latitude}", "--flags", "0,3", *files)
    lines = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text())))
    wanted = [f"{float(line['kelvin']):.2f} K ± {float(line['error_k']):.2f} K" for line in lines]
    with open_page(tmp_path / "a.html") as browser:
        assert wanted[1] in browser.locator("#readout").inner_text()
        browser.locator("#chart").focus()
        browser.keyboard.press("ArrowLeft")
        told = browser.locator("#readout").inner_text()
        assert wanted[0] in told
        assert ("night" in told, lines[0]["scene_id"] in told) == (True, True)
        over = browser.locator(".u-over")
        over.hover(position={"x": over.bounding_box()["width"] - 20, "y": 40})
        assert wanted[1] in browser.locator("#readout").inner_text()
        browser.locator("#unit").select_option("C")
        cells = browser.locator("#rows tr").nth(0).locator("td").all_inner_texts()
        assert cells[:4] == [lines[0]["time"], f"{float(lines[0]['kelvin']) - 273.15:.2f}", "0.10", "night"]
        assert browser.evaluate("document.querySelector('canvas').width") > 300


@needs_browser
@pytest.mark.skipif(importlib.util.find_spec("axe_playwright_python") is None, reason="axe is not installed")
def test_words_stay_words_on_the_page_and_an_audit_finds_nothing(cube, tmp_path):
    from axe_playwright_python.sync_playwright import Axe

    evil = "<script>document.title='taken'</script>\"'\u202e\n"
    found = mean_over(cube, TO_DEGREES.transform_bounds(400000, 5299000, 400490, 5299490))
    names = np.array([evil, "b"], dtype=object)
    found = found.assign_coords(scene_id=("time", names), time=[found.time.values[0], np.datetime64("NaT")])
    (tmp_path / "a.html").write_text(series_page(found, title=evil, about=evil), encoding="utf-8")
    for scheme in ("light", "dark"):
        with open_page(tmp_path / "a.html", scheme=scheme, checked=False) as browser:
            assert "<script>" in browser.title()
            assert "<script>document.title" in browser.locator("#rows").inner_text()
            assert "1 without a date" in browser.locator("#legend").inner_text()
            problems = Axe().run(browser).response["violations"]
        assert [(one["id"], one["impact"]) for one in problems] == []


def test_mistakes_are_said_in_a_line(out, tmp_path):
    with pytest.raises(SettingsError, match="one of --at LON,LAT and --polygon FILE is wanted"):
        series(out)
    with pytest.raises(SettingsError, match="longitude,latitude in degrees is wanted"):
        series(out, "--at", "400000,5300000")
    for words, wanted in (
        ("[1, 2", "a polygon in GeoJSON is wanted"),
        ('{"type": "Point", "coordinates": [15, 47]}', "have no area"),
        (
            json.dumps(shapely.geometry.mapping(shapely.box(4e5, 5e6, 5e5, 6e6))),
            "write the polygon in EPSG:4326",
        ),
    ):
        (tmp_path / "a.geojson").write_text(words)
        with pytest.raises(UnusableInputError, match=wanted):
            read_polygon(tmp_path / "a.geojson")
