"""A product as one STAC item, readable by any catalog program.

Links are relative and nothing of this machine is named: the source is known by its
file name and digest. A scene without a date gets no invented one: it was acquired
after the first thermal picture from space and before it was processed, and the item
says just that.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePath
from typing import Any

import pystac
from shapely.geometry import mapping

from pipeline.files import digest_of
from pipeline.grid import crs_name
from pipeline.products.store.attributes import FLAG_VARIABLE, STANDARD_NAMES
from pipeline.products.store.georeference import bounds_degrees, crs_attributes, footprint, transform_terms
from pipeline.products.view_context import ViewContext
from pipeline.scene import FLAG_MEANINGS, Record
from pipeline.sun import sun_position
from pipeline.text import one_line, plain_json
from pipeline.times import from_iso, iso_utc, span

EXTENSIONS = [
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
]
SUN_EXTENSION = (
    "https://stac-extensions.github.io/view/v1.0.0/schema.json"  # only valid where one angle is told
)
FIRST_THERMAL_PICTURE = datetime(1960, 4, 1, tzinfo=UTC)  # TIROS-1; nothing we read is older
_ZARR = "application/vnd.zarr; version=3"
_SHA256_PREFIX = "1220"  # multihash: function 0x12, 0x20 bytes


def make_item(context: ViewContext, record: Record) -> dict[str, Any]:
    """The item as plain JSON; the files it lists must exist, their checksums are taken now."""
    enhancement, files = context.enhancement, context.files
    acquired = enhancement.scene.ref.acquired
    outline, sun = footprint(enhancement.scene.grid), _sun(context)
    item = pystac.Item(
        id=files.stem,
        geometry=None if outline is None else mapping(outline),
        bbox=None if outline is None else list(bounds_degrees(outline)),
        datetime=None if acquired is None else from_iso(acquired),
        properties={**_time(context, record), **_properties(context, record), **sun},
        stac_extensions=[*EXTENSIONS, *([SUN_EXTENSION] if sun else [])],
        assets=_assets(context),
    )
    plain: dict[str, Any] = plain_json(item.to_dict(include_self_link=False, transform_hrefs=False))
    return plain


def _time(context: ViewContext, record: Record) -> dict[str, Any]:
    """When it was made, and for an undated scene the span within which it was acquired."""
    processed = context.created or record.finished
    if (acquired := context.enhancement.scene.ref.acquired) is not None:
        first, last = span(acquired)
        known = {} if first == last else {"start_datetime": first, "end_datetime": last}
        return {"created": processed, **known}
    start = iso_utc(FIRST_THERMAL_PICTURE)
    return {"created": processed, "start_datetime": start, "end_datetime": processed}


def _properties(context: ViewContext, record: Record) -> dict[str, Any]:
    enhancement = context.enhancement
    grid, scene = enhancement.grid, enhancement.scene
    properties: dict[str, Any] = {
        "title": f"{STANDARD_NAMES[scene.quantity].replace('_', ' ')}, {one_line(scene.ref.scene_id)}",
        "proj:shape": list(grid.shape),
        "processing:lineage": f"enlarged x{enhancement.scale}, recipe {one_line(record.recipe)}",
        "processing:software": {"thermal-sr": version("thermal-sr")},
        "processing:datetime": context.created or record.finished,
        "tsr:scale": enhancement.scale,
        "tsr:status": record.status,
        "tsr:reason": one_line(record.reason),
        "tsr:recipe": one_line(record.recipe),
        "tsr:sensor": one_line(scene.sensor.name),
        "tsr:quantity": scene.quantity,
        "tsr:undated": scene.ref.acquired is None,
        "tsr:source": [one_line(PurePath(file).name) for file in scene.ref.files],
        "tsr:source_sha256": scene.ref.digest,
    }
    if grid.transform is not None:
        properties["proj:transform"] = list(transform_terms(grid))
    if grid.crs_wkt is not None:
        properties |= crs_attributes(grid.crs_wkt) | {"tsr:crs": crs_name(grid.crs_wkt)}
    properties |= _published(context)
    if math.isfinite(spacing := max(scene.gsd_m) / enhancement.scale):
        properties["gsd"] = spacing
    figures = {
        f"tsr:{one_line(name)}": one_line(value) if isinstance(value, str) else value
        for name, value in record.figures.items()
    }
    return {**figures, **properties}


def _published(context: ViewContext) -> dict[str, Any]:
    """License, and who made and published the product, as far as the settings say."""
    output = context.settings
    named = {"processor": output.institution, "producer": output.creator, "host": output.publisher}
    providers = [{"name": one_line(name), "roles": [role]} for role, name in named.items() if name]
    said = {"license": output.license, "providers": providers, "processing:facility": output.institution}
    return {name: value for name, value in said.items() if value}


def _sun(context: ViewContext) -> dict[str, float]:
    """Where the sun stood over the middle of the scene; empty where time or place are not known."""
    scene = context.enhancement.scene
    outline, acquired = footprint(scene.grid), scene.ref.acquired
    if outline is None or acquired is None or len(set(span(acquired))) > 1:
        return {}
    middle = outline.representative_point()
    elevation, azimuth = sun_position(from_iso(acquired), middle.x, middle.y)
    return {"view:sun_elevation": round(elevation, 2), "view:sun_azimuth": round(azimuth, 2)}


def _assets(context: ViewContext) -> dict[str, pystac.Asset]:
    files = context.files
    temperature, uncertainty, flag = _bands(context)
    picture = pystac.MediaType.PNG
    listed: list[tuple[str, Path, str, list[str], str, list[dict[str, Any]]]] = [
        ("zarr", files.store, _ZARR, ["data"], "Zarr store: the product", [temperature, uncertainty, flag]),
        ("temperature", files.temperature_cog, pystac.MediaType.COG, ["data"], "Temperature", [temperature]),
        (
            "uncertainty",
            files.uncertainty_cog,
            pystac.MediaType.COG,
            ["data"],
            "Standard error",
            [uncertainty],
        ),
        ("quality", files.quality_cog, pystac.MediaType.COG, ["data"], "Quality flags", [flag]),
        ("overview", files.enhanced_turbo, picture, ["overview", "visual"], "Product in color", []),
        ("comparison", files.comparison, picture, ["overview"], "Before and after", []),
        ("quality_card", files.card, picture, ["metadata"], "Quality card", []),
        ("page", files.page, pystac.MediaType.HTML, ["overview"], "The product in a browser", []),
        ("record", files.record, pystac.MediaType.JSON, ["metadata"], "Record and provenance", []),
    ]
    return {
        name: pystac.Asset(
            href=f"./{path.name}",
            title=title,
            media_type=media,
            roles=roles,
            extra_fields={**({"bands": bands} if bands else {}), **_file_fields(path)},
        )
        for name, path, media, roles, title, bands in listed
        if path.exists()
    }


def _bands(context: ViewContext) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    summary = context.summary
    kelvin = {"data_type": "float32", "unit": "K", "nodata": "nan", "raster:sampling": "area"}
    range_k = {"minimum": summary.min_k, "mean": summary.mean_k, "maximum": summary.max_k}
    known = {name: value for name, value in range_k.items() if math.isfinite(value)}
    known["valid_percent"] = 100 * summary.valid_fraction
    meanings = ", ".join(f"{value} {meaning}" for value, meaning in FLAG_MEANINGS.items())
    return (
        {"name": summary.variable, **kelvin, "statistics": known},
        {"name": f"{summary.variable}_uncertainty", **kelvin},
        {
            "name": FLAG_VARIABLE,
            "description": meanings,
            "data_type": "uint8",  # and no `nodata`: a reader would hide the flag that says so
            "raster:sampling": "area",
        },
    )


def _file_fields(path: Path) -> dict[str, Any]:
    """Size and checksum of a file; of a store, whose chunks the manifest lists, neither."""
    if path.is_dir():
        return {}
    return {"file:size": path.stat().st_size, "file:checksum": _SHA256_PREFIX + digest_of([path])}


def stated_digests(folder: Path) -> dict[str, str]:
    """sha256, hex, of the files of a product's folder whose checksum its STAC item states, by name."""
    return {
        PurePath(asset["href"]).name: asset["file:checksum"].removeprefix(_SHA256_PREFIX)
        for item in item_files(folder)
        for asset in json.loads(item.read_text(encoding="utf-8"))["assets"].values()
        if "file:checksum" in asset
    }


def item_files(folder: Path) -> list[Path]:
    """STAC items in a product's folder."""
    return sorted(folder.glob("*.stac.json"))
