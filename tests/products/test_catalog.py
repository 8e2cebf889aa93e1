import csv
import json
import re
from pathlib import Path

import jsonschema
import pystac
import pytest
import rasterio

from pipeline.files import write_json
from pipeline.output_settings import OutputSettings
from pipeline.products.catalog import write_catalog
from pipeline.products.publish import publish
from pipeline.products.records import write_record
from pipeline.products.stac import EXTENSIONS, SUN_EXTENSION, make_item
from pipeline.scene import Record, SceneRef
from tests.products.known import (
    CREATED,
    GRIDS,
    LABEL,
    make_context,
    make_enhancement,
    make_record,
    manifest_of,
    stage_product,
)

# The parts of the extensions that we use, written down from their specifications (projection 2, raster 2,
# file 2.1, processing 1.2, view 1.0): what a validator with network would check.
FIELDS = {
    "type": "object",
    "properties": {
        "proj:code": {"type": "string", "pattern": "^[A-Z]+:[A-Za-z0-9.]+$"},
        "proj:wkt2": {"type": "string", "minLength": 1},
        "proj:shape": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
        "proj:transform": {"type": "array", "items": {"type": "number"}, "minItems": 6, "maxItems": 6},
        "raster:sampling": {"enum": ["area", "point"]},
        "file:size": {"type": "integer", "minimum": 0},
        "file:checksum": {"type": "string", "pattern": "^1220[0-9a-f]{64}$"},
        "processing:lineage": {"type": "string"},
        "processing:datetime": {"type": "string", "pattern": "Z$"},
        "processing:software": {"type": "object", "additionalProperties": {"type": "string"}},
        "processing:facility": {"type": "string"},
        "view:sun_elevation": {"type": "number", "minimum": -90, "maximum": 90},
        "view:sun_azimuth": {"type": "number", "minimum": 0, "maximum": 360},
        "nodata": {"anyOf": [{"type": "number"}, {"enum": ["nan", "inf", "-inf"]}]},
        "bands": {"type": "array", "items": {"$ref": "#/definitions/fields"}},
    },
    "patternProperties": {"^(?!(proj|raster|file|processing|view):)": {}},
    "additionalProperties": False,
}
EXTENSION_SCHEMA = {
    "definitions": {"fields": FIELDS},
    "properties": {
        "properties": {"$ref": "#/definitions/fields"},
        "assets": {"additionalProperties": {"$ref": "#/definitions/fields"}},
        "stac_extensions": {"items": {"enum": [*EXTENSIONS, SUN_EXTENSION]}, "minItems": len(EXTENSIONS)},
    },
    "if": {
        "required": ["stac_extensions"],
        "properties": {"stac_extensions": {"contains": {"const": SUN_EXTENSION}}},
    },
    "then": {"properties": {"properties": {"required": ["view:sun_elevation"]}}},
    "else": {"properties": {"properties": {"not": {"required": ["view:sun_elevation"]}}}},
}


def publish_one(out, *, views=False, **scene):
    enhancement = make_enhancement(**scene)
    staging, final = stage_product(out, enhancement, views=views)
    return publish(staging, final, manifest_of(enhancement))


def item_of(product):
    return json.loads(next(product.glob("*.stac.json")).read_text())


def validate(plain):
    """Against the core schema, which pystac brings along, and our notes of the extensions."""
    jsonschema.validate(plain, EXTENSION_SCHEMA)
    item = pystac.Item.from_dict(plain)
    item.stac_extensions = []  # their schemas would be fetched from the network
    item.validate()


@pytest.mark.parametrize("grid", [*GRIDS, (None, None)], ids=str)
@pytest.mark.parametrize("acquired", ["2024-07-28T20:40:25Z", None])
def test_every_item_is_valid(tmp_path, grid, acquired):
    validate(item_of(publish_one(tmp_path, grid=grid, acquired=acquired)))


def test_the_notes_on_the_extensions_can_refuse():
    angles, listed = {"view:sun_elevation": 3.0}, {"stac_extensions": [*EXTENSIONS, SUN_EXTENSION]}
    jsonschema.validate({"properties": angles, **listed}, EXTENSION_SCHEMA)
    for wrong in ({"properties": {}, **listed}, {"properties": angles, "stac_extensions": EXTENSIONS}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, EXTENSION_SCHEMA)
    with pytest.raises(jsonschema.ValidationError, match="'32633' does not match"):
        jsonschema.validate({"properties": {"proj:code": "32633"}}, EXTENSION_SCHEMA)
    with pytest.raises(jsonschema.ValidationError, match="'proj:epsg' does not match any"):
        jsonschema.validate({"properties": {"proj:epsg": 32633}}, EXTENSION_SCHEMA)


def test_an_item_states_grid_time_and_figures(tmp_path):
    properties = item_of(publish_one(tmp_path))["properties"]
    assert properties["proj:code"] == "EPSG:32633"
    assert properties["proj:shape"] == [96, 80]
    assert properties["proj:transform"] == [17.5, 0, 399960, 0, -17.5, 5300040]
    assert properties["datetime"] == "2024-07-28T20:40:25Z"
    assert (properties["tsr:gain"], properties["gsd"], properties["created"]) == (0.5, 17.5, CREATED)


def test_an_item_says_where_the_sun_stood_and_who_made_it(tmp_path):
    enhancement = make_enhancement()
    said = OutputSettings(institution="An institute", creator="Ada", publisher="A host", license="CC-BY-4.0")
    context = make_context(enhancement, tmp_path, settings=said)
    item = make_item(context, make_record(enhancement, tmp_path / "a" / "b", tmp_path))
    validate(item)
    properties = item["properties"]
    assert properties["view:sun_elevation"] == pytest.approx(-15.3, abs=0.3)  # Austria, 20:40 UTC in July
    assert properties["license"] == "CC-BY-4.0"
    assert [(one["name"], one["roles"]) for one in properties["providers"]] == [
        ("An institute", ["processor"]),
        ("Ada", ["producer"]),
        ("A host", ["host"]),
    ]


def test_an_item_of_a_date_alone_lasts_a_day(tmp_path):
    properties = item_of(publish_one(tmp_path, acquired="2019-11-01T00:00:00Z"))["properties"]
    assert properties["start_datetime"] == "2019-11-01T00:00:00Z"
    assert properties["end_datetime"] == "2019-11-02T00:00:00Z"
    assert "view:sun_elevation" not in properties


def test_an_undated_item_says_when_it_was_acquired_at_the_latest(tmp_path):
    properties = item_of(publish_one(tmp_path, acquired=None))["properties"]
    assert properties["datetime"] is None
    assert properties["tsr:undated"] is True
    assert (properties["start_datetime"], properties["end_datetime"]) == ("1960-04-01T00:00:00Z", CREATED)


def test_every_link_of_an_item_is_relative_and_leads_to_a_file(tmp_path):
    product = publish_one(tmp_path, views=True)
    assets = item_of(product)["assets"]
    assert {"zarr", "temperature", "uncertainty", "quality", "overview", "quality_card", "record"} <= set(
        assets
    )
    for asset in assets.values():
        assert asset["href"].startswith("./")
        assert (product / asset["href"]).exists()


def test_an_item_states_no_data_as_its_files_do(tmp_path):
    product = publish_one(tmp_path, views=True)
    for name in ("temperature", "uncertainty", "quality"):
        asset = item_of(product)["assets"][name]
        with rasterio.open(product / asset["href"]) as raster:
            assert asset["bands"][0].get("nodata", "None") == str(raster.nodata)


def test_checksums_of_an_item_are_the_manifests(tmp_path):
    product = publish_one(tmp_path, views=True)
    files = json.loads((product / "MANIFEST.json").read_text())["files"]
    assets = [asset for asset in item_of(product)["assets"].values() if "file:checksum" in asset]
    assert len(assets) >= 6
    for asset in assets:
        assert [asset["file:size"], asset["file:checksum"][4:]] == files[Path(asset["href"]).name]


def test_the_source_is_named_by_digest_and_not_by_folder(tmp_path):
    product = publish_one(tmp_path)
    item = item_of(product)
    assert item["properties"]["tsr:source"] == ["demo.npz"]
    assert item["properties"]["tsr:source_sha256"] == "0123abcd" * 8
    for link in item["links"]:  # stac-browser stops at a link that is no address
        assert not link["href"].startswith("urn:")
    assert "archive/" not in next(product.glob("*.stac.json")).read_text()


def test_the_catalog_links_every_item(tmp_path):
    products = [publish_one(tmp_path, scene_id=f"scene-{number}{number:07d}") for number in (1, 2)]
    path = write_catalog(tmp_path)
    catalog = pystac.Catalog.from_file(str(path))
    catalog.validate()
    assert {item.id for item in catalog.get_items()} == {f"{product.name}_x4" for product in products}
    assert all(link["href"].startswith("./") for link in json.loads(path.read_text())["links"])


def found_in(catalog, since, until):
    """Items as a search of the STAC API finds them: their time, or span of time, touches the wanted one."""
    for item in catalog.get_items(recursive=True):
        first, last = (item.properties.get(name) for name in ("start_datetime", "end_datetime"))
        if (first or item.properties["datetime"]) <= until and (last or item.properties["datetime"]) >= since:
            yield item.id


def test_a_search_in_time_finds_no_scene_without_a_date(tmp_path):
    publish_one(tmp_path, scene_id="dated-11111111", acquired="2023-07-02T08:06:44Z")
    publish_one(tmp_path, scene_id="day-22222222", acquired="2023-07-31T00:00:00Z")
    publish_one(tmp_path, scene_id="later-44444444", acquired="2024-07-31T10:00:00Z")
    publish_one(tmp_path, scene_id="undated-33333333", acquired=None)
    path = write_catalog(tmp_path)
    july = ("2023-07-01T00:00:00Z", "2023-07-31T23:59:59Z")
    assert set(found_in(pystac.Catalog.from_file(str(path)), *july)) == {
        "dated-11111111_x4",
        "day-22222222_x4",
    }
    (link,) = [link for link in json.loads(path.read_text())["links"] if link["rel"] == "related"]
    undated = pystac.Catalog.from_file(str(tmp_path / link["href"]))
    undated.validate()
    assert [item.id for item in undated.get_items()] == ["undated-33333333_x4"]


def rows_of(out):
    with (out / "catalog.csv").open(newline="") as file:
        return {row["scene_id"]: row for row in csv.DictReader(file)}


def test_the_table_lists_products_and_scenes_without_one(tmp_path):
    product = publish_one(tmp_path)
    refused = Record(SceneRef("bad-99999999", "npz", ("in/bad.npz",), "9" * 64), "refused", "no units", LABEL)
    write_record(tmp_path, LABEL, refused)
    write_catalog(tmp_path)
    rows = rows_of(tmp_path)
    assert rows["demo-0123abcd"]["product"] == product.relative_to(tmp_path).as_posix()
    assert float(rows["demo-0123abcd"]["bias_k"]) == -0.001
    assert (rows["bad-99999999"]["status"], rows["bad-99999999"]["reason"]) == ("refused", "no units")
    assert rows["bad-99999999"]["files"] == "bad.npz"


def test_an_old_refusal_does_not_stand_beside_the_product(tmp_path):
    product = publish_one(tmp_path)
    earlier = Record(make_enhancement().scene.ref, "failed", "the disk was full", LABEL)
    write_record(tmp_path, LABEL, earlier)
    write_catalog(tmp_path)
    assert [row["status"] for row in rows_of(tmp_path).values()] == ["done"]
    assert product.exists()


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_no_text_in_the_table_is_a_formula(tmp_path, text):
    ref = SceneRef("bad-99999999", "npz", (text,), "9" * 64)
    write_record(tmp_path, LABEL, Record(ref, "refused", text, LABEL, figures={text: text}))
    write_catalog(tmp_path)
    with (tmp_path / "catalog.csv").open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if re.match(r"[=+\-@\t\r]", cell)]


def test_a_damaged_product_is_a_row_that_says_so(tmp_path):
    product = publish_one(tmp_path)
    (product / "record.json").write_text("{")
    write_catalog(tmp_path)
    assert rows_of(tmp_path)["demo-0123abcd"]["status"] == "damaged"


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"properties": 3}'])
def test_a_damaged_item_is_said_and_the_rest_is_shown(tmp_path, content):
    product, sound = publish_one(tmp_path), publish_one(tmp_path, scene_id="sound-11111111")
    next(product.glob("*.stac.json")).write_text(content)
    catalog = pystac.Catalog.from_file(str(write_catalog(tmp_path)))
    assert [item.id for item in catalog.get_items()] == [f"{sound.name}_x4"]
    row = rows_of(tmp_path)["demo-0123abcd"]
    assert (row["status"], "demo-0123abcd_x4.stac.json cannot be read" in row["reason"]) == ("damaged", True)


def test_the_catalog_can_be_made_again_and_is_the_same(tmp_path):
    publish_one(tmp_path)
    path = write_catalog(tmp_path)
    before = path.read_bytes(), (tmp_path / "catalog.csv").read_bytes()
    write_catalog(tmp_path)
    assert (path.read_bytes(), (tmp_path / "catalog.csv").read_bytes()) == before


def test_an_empty_output_has_an_empty_catalog(tmp_path):
    write_json(tmp_path / ".scratch" / "digests.json", {})
    assert json.loads(write_catalog(tmp_path).read_text())["links"] == []
