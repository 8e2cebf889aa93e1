"""One scene, from its files to its published product: read this first.

Every path through here ends in a `Record`. Input that can never work is an
outcome, not an error; only storage trouble and bugs are raised, for the flow to
retry or to report.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.archive.apart import read_apart
from pipeline.archive.plausible import ALARM
from pipeline.archive.product_rules import rule_identity
from pipeline.errors import EndedReadingError, SettingsError, SkippedSceneError, UnusableInputError
from pipeline.figures import CALIBRATED, GAIN, NOISE
from pipeline.files import write_bytes, write_json
from pipeline.grid import Window
from pipeline.original_files import write_original_files
from pipeline.outcomes import outcome, remark
from pipeline.output_settings import OutputSettings
from pipeline.products import layout
from pipeline.products.catalog import write_item
from pipeline.products.product_files import ProductFiles
from pipeline.products.publish import publish, refuse_taken
from pipeline.products.records import find_record, read_record, write_record
from pipeline.products.store.statistics import StoreSummary
from pipeline.products.store.unsharp import Unsharp
from pipeline.products.store.zarr_store import open_store, temperature_name, write_store
from pipeline.products.view_context import ViewContext
from pipeline.products.views.all_views import VIEWS
from pipeline.provenance import make_manifest, outside_provenance
from pipeline.recipe_files import load_kernel, load_pretrained, load_prior
from pipeline.scene import Enhancement, Record, Scene, SceneRef, Status
from pipeline.settings import Settings
from pipeline.stages import Clock
from pipeline.superres.enhance import Progress, enhance, quiet
from pipeline.superres.judging.contract import broken_contract
from pipeline.superres.networks.device import share_threads
from pipeline.tile_cluster import tile_scheduler
from pipeline.times import now_utc
from pipeline.training_state import KeptTraining, checkpoint_path

log = logging.getLogger(__name__)

ONCE_MORE = "; the next run tries once more"
BYTES_PER_PIXEL = 30  # store, staged GeoTIFFs and their copies, pictures: measured 22, with room


def process_scene(ref: SceneRef, settings: Settings, *, progress: Progress = quiet) -> Record:
    """Sharpen one scene and publish its product, or say why there is none.

    Args:
        ref: The scene; its files are read, nothing is written beside them.
        settings: The whole tree; each stage gets its own branch.
        progress: Told of every stage (see `STAGES`), several times for the long ones.

    Returns:
        The outcome. A product that is already there for this content and recipe is left alone and
        reported as it was.

    Raises:
        UnreadableInputError: Storage failed; another try may work.
        OSError: The output could not be written (disk full), or the scene took longer than `run.limit_s`;
            nothing half-done is visible.
    """
    out, label = settings.output.root, settings.recipe.label
    rule = rule_identity(Path(ref.files[0]), settings.archive)
    if (product := layout.find_product(out, label, ref.digest, rule=rule)) is not None:
        return read_record(product)
    clock = Clock(progress, settings.run.limit_s)
    try:
        refuse_taken(layout.product_folder(out, label, ref), ref.digest)
        clock("read", 0.0)
        scene = read_apart(ref, settings.archive)
        _refuse_too_empty(scene, settings.archive.min_valid_fraction)
        record = _sharpen(scene, settings, clock)
    except (UnusableInputError, SkippedSceneError) as error:
        status, reason = _ending(ref, settings, error)
        record = outcome(ref, settings, status, reason, clock=clock)
        write_record(out, label, record)
    log.info("%s: %s in %.0f s%s", ref.scene_id, record.status, sum(clock.seconds.values()), remark(record))
    return record


def _ending(
    ref: SceneRef, settings: Settings, error: UnusableInputError | SkippedSceneError
) -> tuple[Status, str]:
    """Status and reason of a scene without a product.

    A reader that crashes may be chance (no memory left on the machine), so the next night tries once more.
    """
    if not isinstance(error, EndedReadingError):
        return ("skipped" if isinstance(error, SkippedSceneError) else "refused"), str(error)
    before = find_record(settings.output.root, settings.recipe.label, ref.scene_id)
    same = before is not None and (before.ref.digest, before.context) == (ref.digest, settings.context)
    if before is not None and same and before.status == "failed" and before.reason.endswith(ONCE_MORE):
        return "refused", f"{error}; seen twice, so it is set aside"
    return "failed", f"{error}{ONCE_MORE}"


def resolve_device(wanted: str) -> torch.device:
    """The device for "auto", "cpu", "cuda" or "cuda:1".

    Raises:
        SettingsError: If a GPU is asked for that is not there.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        seen = "no GPU" if not torch.cuda.is_available() else f"{torch.cuda.device_count()} of them"
        raise SettingsError(f"setting run.device: {wanted!r}, but torch sees {seen}; use auto or cpu")
    return device


def _sharpen(scene: Scene, settings: Settings, clock: Clock) -> Record:
    """The product of a scene, published; its record also says what publishing took."""
    ref, out, label = scene.ref, settings.output.root, settings.recipe.label
    _refuse_full_disk(scene, settings)
    device = resolve_device(settings.run.device)
    threads = share_threads(settings.run.workers, settings.run.threads)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    kept = KeptTraining(ref, settings)
    with kept.flushed():
        enhancement = enhance(
            scene,
            settings.recipe,
            device=device,
            prior=load_prior(settings.recipe),
            pretrained=load_pretrained(settings.recipe),
            kernel=load_kernel(settings.recipe),
            checkpoint=kept.checkpoint,
            progress=clock,
            tells_learned=settings.output.detail_learned,
        )
    made = {**enhancement.provenance, **outside_provenance(scene, settings, device, threads)}
    enhancement = dataclasses.replace(enhancement, provenance=made)
    final = layout.product_folder(out, label, ref)
    staging = layout.make_staging_folder(final)
    try:
        record = _fill(staging, enhancement, settings, clock=clock, final=final)
        clock("publish", 0.0)
        publish(staging, final, make_manifest(ref, settings))
    finally:
        shutil.rmtree(staging, ignore_errors=True)  # gone already where it was published
    shutil.rmtree(checkpoint_path(ref, settings).parent, ignore_errors=True)
    clock("publish", 1.0)
    return dataclasses.replace(record, timings_s=clock.seconds)


def _fill(
    staging: Path, enhancement: Enhancement, settings: Settings, *, clock: Clock, final: Path
) -> Record:
    """Everything that a product's folder holds, but the manifest."""
    ref, output = enhancement.scene.ref, settings.output
    files = ProductFiles(staging, ref.scene_id, enhancement.scale)
    summary, checked = _write(enhancement, files, settings, clock)
    projects = settings.recipe.resolved().gate.project  # who turns it off has chosen another contract
    reason = broken_contract(checked, NOISE.value(enhancement.figures) or 0.0) if projects else ""
    if reason:
        log.warning("%s: %s; written again without the network", ref.scene_id, reason)
        shutil.rmtree(files.store)
        enhancement = _without_network(enhancement, reason)
        summary, checked = _write(enhancement, files, settings, clock)
    if output.weights and enhancement.weights:
        write_bytes(files.weights, enhancement.weights)
    told = (words.removeprefix(ALARM) for words in enhancement.scene.assumptions if words.startswith(ALARM))
    figures = {**enhancement.figures, **summary.figures(), **checked, **enhancement.scene.edition}
    figures["range_alarm"] = "; ".join(told)
    figures |= {"scene_pixels": float(enhancement.scene.temperature.size), **_gpu_memory(settings)}
    context = _context(enhancement, files, settings, summary=summary, figures=figures)
    for number, view in enumerate(VIEWS.values()):
        clock("views", number / len(VIEWS))
        view(files.store, context)
    if _wants_original_files(settings):
        write_original_files(
            enhancement, files, learning_rate=settings.recipe.train.learning_rate, created=context.created
        )
    record = outcome(
        ref,
        settings,
        "fell back" if enhancement.fallback else "done",
        enhancement.fallback,
        product=str(final.relative_to(output.root)),
        figures=figures,
        clock=clock,
        assumptions=enhancement.scene.assumptions,
    )
    # A product may travel: it names its inputs, not the folders of the machine that made it.
    names = dataclasses.replace(ref, files=tuple(Path(file).name for file in ref.files))
    record = dataclasses.replace(record, ref=names)
    write_json(files.record, {**record.to_json(), "provenance": enhancement.provenance})
    write_item(context, record)
    return record


def _without_network(enhancement: Enhancement, reason: str) -> Enhancement:
    """The same scene by its base alone, because the product breaks the contract."""
    figures = {**enhancement.figures, GAIN.name: 0.0, CALIBRATED.name: 0.0}
    return dataclasses.replace(
        enhancement,
        compute=enhancement.without_network or enhancement.compute,
        fallback="; ".join(filter(None, (enhancement.fallback, reason))),
        figures=figures,
        provenance={**enhancement.provenance, "gain": 0.0, "fallback": reason},
    )


def _write(
    enhancement: Enhancement, files: ProductFiles, settings: Settings, clock: Clock
) -> tuple[StoreSummary, Mapping[str, float]]:
    """The store, and how far it is from the scene."""
    ref, output = enhancement.scene.ref, settings.output
    scratch = layout.scratch_folder(output.root, settings.recipe.label, ref.scene_id)
    clock("write", 0.0)
    with tile_scheduler(settings.run, scratch / "cluster") as scheduler:
        summary = write_store(
            enhancement,
            files.store,
            chunk_px=output.chunk_px,
            compression=output.compression,
            tile_px=settings.run.tile_px,
            workers=settings.run.tiles_at_a_time,
            progress=lambda done, count: clock("write", done / count),
            institution=output.institution,
            extra_attributes={"recipe": settings.recipe.label, **_said_by_whom(output)},
            sharpened=_unsharp(output),
            scheduler=scheduler,
        )
    clock("check", 0.0)
    return summary, _check(enhancement, files.store)


def _said_by_whom(output: OutputSettings) -> dict[str, str]:
    """Attributes of ACDD that only a person knows."""
    known = {"creator_name": output.creator, "publisher_name": output.publisher, "license": output.license}
    return {name: words for name, words in known.items() if words}


def _wants_original_files(settings: Settings) -> bool:
    wanted = settings.output.original_files
    return settings.recipe.preset == "original" if wanted is None else wanted


def _unsharp(output: OutputSettings) -> Unsharp | None:
    return Unsharp(output.sharpened_strength, output.sharpened_share) if output.sharpened else None


def _gpu_memory(settings: Settings) -> dict[str, float]:
    device = resolve_device(settings.run.device)
    if device.type != "cuda":
        return {}
    return {"peak_gpu_memory_mib": float(torch.cuda.max_memory_reserved(device) >> 20)}


def _check(enhancement: Enhancement, store: Path) -> Mapping[str, float]:
    """The radiometric contract, on the file as it was written."""
    if enhancement.check is None:
        return {}
    with open_store(store) as product:
        temperature = product[temperature_name(product)]

        def read(window: Window) -> NDArray[np.float32]:
            rows, columns = window.slices
            return np.asarray(temperature[rows, columns].values, dtype=np.float32)

        return enhancement.check(read)


def _context(
    enhancement: Enhancement,
    files: ProductFiles,
    settings: Settings,
    *,
    summary: StoreSummary,
    figures: Mapping[str, float | str | None],
) -> ViewContext:
    training = enhancement.provenance.get("training") or {}
    curve = [(entry["step"], entry["loss"], entry.get("validation")) for entry in training.get("curve", ())]
    return ViewContext(
        enhancement=enhancement,
        files=files,
        settings=settings.output,
        summary=summary,
        figures=figures,
        curve=curve,
        created=now_utc(),
        tags={"scene_id": enhancement.scene.ref.scene_id, "recipe": settings.recipe.label},
    )


def _refuse_too_empty(scene: Scene, least: float) -> None:
    if scene.valid_fraction < least or not scene.valid.any():
        raise SkippedSceneError(
            f"{scene.valid_fraction:.1%} of pixels are valid, {least:.1%} needed (archive.min_valid_fraction)"
        )


def _refuse_full_disk(scene: Scene, settings: Settings) -> None:
    """Stop before the work, not after it."""
    needed = scene.grid.height * scene.grid.width * settings.recipe.scale**2 * BYTES_PER_PIXEL
    settings.output.root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.output.root).free
    if free < needed:
        raise OSError(
            f"{scene.ref.scene_id}: {needed / 1e9:.2f} GB of free disk may be needed for its product, "
            f"{free / 1e9:.2f} GB are free; make room and run again"
        )
