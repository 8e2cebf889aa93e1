"""`info`: what was understood of a file, or what a product is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from pipeline.commands.options import (
    JsonOption,
    SetOption,
    SettingsOption,
    out_console,
    print_json,
    settings_for,
)
from pipeline.text import one_line

if TYPE_CHECKING:
    from pipeline.scene import Scene


def info(
    scene: Annotated[
        Path, typer.Argument(metavar="SCENE", help="One scene, or a product: its folder, .zarr or .tif.")
    ],
    settings: SettingsOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what was understood of a file, or what a product is."""
    from pipeline.archive.apart import begin_reading

    if scene.is_file() and _product_of(scene) is None:
        begin_reading()
    tree = settings_for(scene, None, settings, assignments)
    if (product := _product_of(tree.archive.root)) is not None:
        facts = product_facts(product)
    else:
        from pipeline.commands.one_scene import read_only_scene

        facts = scene_facts(read_only_scene(tree))
    if as_json:
        print_json(facts)
        return
    _print_rows([(name, _words(value)) for name, value in facts.items() if not isinstance(value, dict)])
    if sources := facts.get("facts"):
        out_console.print("\nWhere each was found")
        _print_rows(list(sources.items()))
    if known := facts.get("figures"):
        out_console.print("\nWhat matters most; view.html and --json have all figures")
        _print_rows(_figure_rows(known))


def _print_rows(rows: Sequence[tuple[str, ...]]) -> None:
    """A line for each row: its name, its value and, of a figure, its meaning; without those of no value."""
    told = [(one_line(name).replace("_", " "), *others) for name, *others in rows if others[0]]
    width = max(len(name) for name, *_ in told)
    for name, value, *meaning in told:
        value = f"{one_line(value):11}" if meaning else one_line(value)
        out_console.print(escape("  ".join([f"{name:{width}}", value, *meaning])), highlight=False)


def _words(value: Any) -> str:
    """A value without the signs of Python; empty where there is none."""
    if isinstance(value, list):
        return (", " if all(isinstance(each, float | int) for each in value) else "; ").join(map(str, value))
    return "not known" if value is None else str(value)


def _figure_rows(known: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Label, value with unit and meaning of the figures that matter most, then what is warned of."""
    from pipeline.figures import WARNINGS, matter_most

    first = [(figure.label, figure.text(known), figure.meaning) for figure in matter_most(known)]
    return [*first, *((figure.label, figure.text(known)) for figure in WARNINGS)]


def scene_facts(scene: Scene) -> dict[str, Any]:
    """What `info` shows of a scene; plain JSON."""
    import numpy as np

    from pipeline.grid import crs_name

    valid = scene.temperature[scene.valid].astype(np.float64)
    kelvin = (
        [round(float(value), 2) for value in (valid.min(), np.median(valid), valid.max())]
        if valid.size
        else []
    )
    transform = scene.grid.transform
    return {
        "scene_id": scene.ref.scene_id,
        "reader": scene.ref.reader,
        "quantity": scene.quantity,
        "acquired": scene.ref.acquired,
        "sensor": scene.sensor.name,
        **scene.edition,
        "size_px": list(scene.grid.shape),
        "gsd_m": [round(value, 2) for value in scene.gsd_m] if np.isfinite(scene.gsd_m).all() else None,
        "crs": None if scene.grid.crs_wkt is None else crs_name(scene.grid.crs_wkt),
        "transform": None if transform is None else [float(term) for term in tuple(transform)[:6]],
        "valid_fraction": round(scene.valid_fraction, 4),
        "min_median_max_k": kelvin,
        "step_k": scene.quantization_k,
        "assumptions": list(scene.assumptions),
        "facts": dict(scene.facts),
        "digest": scene.ref.digest,
    }


def product_facts(folder: Path) -> dict[str, Any]:
    """What `info` shows of a product; plain JSON.

    Raises:
        DamagedProductError: Its manifest or its record cannot be read.
    """
    from pipeline.grid import crs_name
    from pipeline.products.publish import read_manifest
    from pipeline.products.records import read_record
    from pipeline.products.store.zarr_store import open_store, temperature_name

    manifest, record = read_manifest(folder), read_record(folder)
    facts = {
        "product": folder.name,
        "made_of": [entry["name"] for entry in manifest.get("inputs", ())],
        "reader": record.ref.reader,
        "acquired": record.ref.acquired,
        "outcome": record.status,
        "reason": record.reason,
        "recipe": record.recipe,
        "finished": record.finished,
        "code_version": manifest.get("code_version"),
    }
    for path in folder.glob("*.zarr"):
        with open_store(path) as store:
            name = temperature_name(store)
            wkt = store["spatial_ref"].attrs.get("crs_wkt") if "spatial_ref" in store.variables else None
            facts |= {
                "store": path.name,
                "quantity": name,
                "size_px": list(store[name].shape),
                "crs": None if wkt is None else crs_name(wkt),
                "min_max_k": [round(end, 2) for end in store[name].attrs.get("actual_range", ())],
            }
    return facts | {
        "assumptions": list(record.assumptions),
        "figures": dict(record.figures),
        "digest": record.ref.digest,
    }


def _product_of(path: Path) -> Path | None:
    """The product's folder where a path is one, or a store or raster inside one."""
    from pipeline.products.layout import MANIFEST

    folder = path.parent if path.suffix in (".zarr", ".tif") else path
    return folder if (folder / MANIFEST).is_file() else None
