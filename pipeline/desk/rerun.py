"""A product made again from its own record, and compared pixel by pixel.

On the same software and kind of processor every pixel must be equal to the bit, whatever the number of
threads. Elsewhere numbers are rounded differently, most of all where one machine computes with bfloat16 and
the other rounds to it: then the temperature may differ by `OTHER_STACK_RMS_K`, and where the network took
steps on the scene, which carry every rounding on, by `TRAINED_ELSEWHERE_RMS_K`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import DamagedProductError, UnusableInputError
from pipeline.files import digest_of
from pipeline.nights.night import seen_files
from pipeline.output_settings import OutputSettings
from pipeline.process import process_scene, resolve_device
from pipeline.products.product_files import store_in
from pipeline.products.publish import read_manifest
from pipeline.products.records import read_provenance, read_record
from pipeline.products.store.zarr_store import open_store, temperature_name
from pipeline.provenance import described_device, software
from pipeline.recipe import Recipe
from pipeline.recipe_files import with_checked_files
from pipeline.scene import SceneRef
from pipeline.settings import ArchiveSettings, RunSettings, Settings
from pipeline.text import one_line

OTHER_STACK_RMS_K = 0.01
TRAINED_ELSEWHERE_RMS_K = 0.05  # 100 steps on a scene of 96 x 96 pixels carry rounding on to 0.033 K
_ROWS = 512  # compared at a time


@dataclass(frozen=True)
class Change:
    """How one variable of two stores differs.

    Attributes:
        pixels: All of them.
        differing: Those that are not equal to the bit; no data equals no data.
        rms: Root of the mean square difference, in the variable's unit.
        largest: Largest difference.
    """

    pixels: int
    differing: int
    rms: float
    largest: float


@dataclass(frozen=True)
class Rerun:
    """What became of a product that was made again.

    Attributes:
        product: The folder of the new one.
        changes: By variable of the store.
        stack: What of software and machine is not as it was: name to (then, now).
        files: Names of files whose bytes differ; those with time stamps always do.
        verdict: One line.
        good: Whether the product is what its record says, within what is promised.
    """

    product: Path
    changes: Mapping[str, Change]
    stack: Mapping[str, tuple[str, str]]
    files: tuple[str, ...]
    verdict: str
    good: bool


def rerun(product: Path, archive: Path | None, out: Path, run: RunSettings) -> Rerun:
    """Make a published product again from its record.

    Args:
        product: Its folder.
        archive: Folder in which its files lie, at any depth, or the main file; None to look where the last
            night below the same output root found it.
        out: An empty folder for the new one.
        run: Where it runs.

    Raises:
        DamagedProductError: The product's record does not say how it was made.
        UnusableInputError: Its files are not there, or hold something else; or it comes to no product now.
        SettingsError: The recipe's prior or kernel is not there.
    """
    record, made = read_record(product), read_provenance(product)
    ref = _inputs(product, record.ref, archive)
    settings = _settings(product, made, ref, out=out, run=run)
    again = process_scene(ref, settings)
    if not again.product:
        raise UnusableInputError(f"{record.ref.scene_id}: {again.status} now, {again.reason}")
    new = out / again.product
    changes = _compare(product, new)
    stack = _stack(made, settings)
    old_files, new_files = (read_manifest(folder)["files"] for folder in (product, new))
    files = tuple(sorted(name for name in old_files if old_files[name] != new_files.get(name)))
    allowed_k = TRAINED_ELSEWHERE_RMS_K if made.get("training") else OTHER_STACK_RMS_K
    verdict, good = _judge(changes, stack, temperature=_temperature(new), allowed_k=allowed_k)
    return Rerun(new, changes, stack, files, verdict, good)


def _temperature(product: Path) -> str:
    """Name of the temperature in a product's store."""
    with open_store(store_in(product)) as dataset:
        return temperature_name(dataset)


def _settings(
    product: Path, made: Mapping[str, Any], ref: SceneRef, *, out: Path, run: RunSettings
) -> Settings:
    """The settings that the record holds; what it does not name is as usual."""
    kept = made.get("settings", {})
    try:
        archive = ArchiveSettings.model_validate({**kept.get("archive", {}), "root": ref.files[0]})
        output = OutputSettings.model_validate({**kept.get("output", {}), "root": out})
        tile_px = kept.get("run", {}).get("tile_px", run.tile_px)
        recipe = Recipe.model_validate(made["recipe"])
    except ValueError as error:
        raise DamagedProductError(
            f"{product.name}: this version does not know its settings: {one_line(error)}"
        ) from error
    run = run.model_copy(update={"tile_px": tile_px})
    return Settings(archive=archive, output=output, run=run, recipe=with_checked_files(recipe))


def _inputs(product: Path, ref: SceneRef, archive: Path | None) -> SceneRef:
    """The product's scene with the paths of its files as they lie now."""
    main, *companions = ref.files
    if archive is None:
        above = product.absolute().parents
        found = [path for folder in above for path in seen_files(folder) if path.name == main]
    else:
        found = [archive] if archive.is_file() else sorted(archive.rglob(main))
    for path in found:
        files = [path, *(path.with_name(name) for name in companions)]
        if all(file.is_file() for file in files) and digest_of(files) == ref.digest:
            return SceneRef(ref.scene_id, ref.reader, tuple(map(str, files)), ref.digest, ref.acquired)
    where = "where the last night saw it" if archive is None else f"below {archive}"
    wanted = f"{main} with the content {ref.digest[:8]}"
    raise UnusableInputError(f"{product.name}: {wanted} is wanted {where}; name the folder where it lies")


def _stack(made: Mapping[str, Any], settings: Settings) -> dict[str, tuple[str, str]]:
    then = {**made.get("software", {}), **made.get("device", {})}
    now = {**software(), **described_device(resolve_device(settings.run.device))}
    names = sorted((then.keys() | now.keys()) - {"threads"})
    pairs = {name: (str(then.get(name, "not said")), str(now.get(name, "not there"))) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _compare(old: Path, new: Path) -> dict[str, Change]:
    """How every variable with pixels differs between the stores of two products.

    Raises:
        UnusableInputError: Their pictures differ in size or in what they hold.
    """
    with open_store(store_in(old)) as first, open_store(store_in(new)) as second:
        names = {name for name, values in first.data_vars.items() if values.ndim == 2}
        for name in names:
            if name not in second.data_vars or second[name].shape != first[name].shape:
                raise UnusableInputError(f"{old.name}: {name} has another size now, or is not there")
        return {str(name): _change(first[name], second[name]) for name in sorted(names, key=str)}


def _change(first: Any, second: Any) -> Change:
    differing, squares, largest = 0, 0.0, 0.0
    for row in range(0, first.shape[0], _ROWS):
        old, new = (np.asarray(each[row : row + _ROWS].values) for each in (first, second))
        unequal = (old != new) & ~((old != old) & (new != new))
        if count := int(unequal.sum()):
            delta = np.abs(old[unequal].astype(np.float64) - new[unequal])
            differing, squares = differing + count, squares + float(np.nansum(delta**2))
            # no data on one side only is as far apart as can be
            largest = max(largest, float(np.where(np.isnan(delta), np.inf, delta).max()))
    return Change(first.size, differing, float(np.sqrt(squares / first.size)), largest)


def _judge(
    changes: Mapping[str, Change],
    stack: Mapping[str, tuple[str, str]],
    *,
    temperature: str,
    allowed_k: float,
) -> tuple[str, bool]:
    if not any(change.differing for change in changes.values()):
        return "equal to the bit", True
    found = changes[temperature]
    said = f"{temperature} differs by {found.rms * 1000:.3g} mK RMS, {found.largest * 1000:.3g} mK at most"
    if not stack:
        return f"{said}, on the same software and machine: it should be equal to the bit", False
    allowed = f"{allowed_k * 1000:g} mK RMS are allowed"
    if found.rms <= allowed_k and np.isfinite(found.largest):
        return f"{said}, on another stack, where {allowed}", True
    return f"{said}; {allowed} on another stack", False
