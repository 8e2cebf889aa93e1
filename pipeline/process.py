"""One scene, from its files to its published product: read this first.

Every path through here ends in a `Record`. Input that can never work is an
outcome, not an error; only storage trouble and bugs are raised, for the flow to
retry or to report.
"""

from __future__ import annotations

import dataclasses
import logging
import platform
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.archive import read_scene
from pipeline.errors import SettingsError, SkippedSceneError, UnreadableInputError, UnusableInputError
from pipeline.files import digests_of, write_json
from pipeline.grid import Window
from pipeline.memory import forget_peak, peak_mib
from pipeline.products import layout
from pipeline.products.catalog import write_item
from pipeline.products.publish import publish, read_record, write_record
from pipeline.products.store.statistics import StoreSummary
from pipeline.products.store.zarr_store import open_store, temperature_name, write_store
from pipeline.products.view_context import ViewContext
from pipeline.products.views.all_views import VIEWS
from pipeline.recipe_files import load_kernel, load_prior
from pipeline.scene import Enhancement, Record, Scene, SceneRef, Status
from pipeline.settings import Settings
from pipeline.superres.enhance import Progress, enhance, quiet
from pipeline.superres.networks.device import share_threads
from pipeline.text import one_line
from pipeline.tile_cluster import tile_scheduler
from pipeline.times import now_utc
from pipeline.training_state import KeptTraining, checkpoint_path

log = logging.getLogger(__name__)

STAGES = ("read", "normalize", "train", "judge", "write", "check", "views", "publish")
BYTES_PER_PIXEL = 30  # store, staged GeoTIFFs and their copies, pictures: measured 22, with room


def process_scene(ref: SceneRef, settings: Settings, *, progress: Progress = quiet) -> Record:
    """Sharpen one scene and publish its product, or say why there is none.

    Args:
        ref: The scene; its files are read, nothing is written beside them.
        settings: The whole tree; each stage gets its own branch.
        progress: Told of every stage, several times for the long ones.

    Returns:
        The outcome. A product that is already there for this content and recipe is left alone and
        reported as it was.

    Raises:
        UnreadableInputError: Storage failed; another try may work.
        OSError: The output could not be written (disk full); nothing half-done is visible.
    """
    out, label = settings.output.root, settings.recipe.label
    if (product := layout.find_product(out, label, ref.digest)) is not None:
        return read_record(product)
    clock = _Clock()
    try:
        with clock("read"):
            progress("read", 0.0)
            scene = read_scene(ref, settings.archive)
            _refuse_too_empty(scene, settings.archive.min_valid_fraction)
        record = _sharpen(scene, settings, clock=clock, progress=progress)
    except (UnusableInputError, SkippedSceneError) as error:
        status: Status = "skipped" if isinstance(error, SkippedSceneError) else "refused"
        record = _outcome(ref, settings, status, str(error), clock=clock)
        write_record(out, label, record)
    log.info("%s: %s in %.0f s%s", ref.scene_id, record.status, sum(clock.seconds.values()), _remark(record))
    return record


def refused_record(ref: SceneRef, settings: Settings, reason: str) -> Record:
    """The record of an input that no reader can take, written beside the products."""
    record = _outcome(ref, settings, "refused", reason)
    write_record(settings.output.root, settings.recipe.label, record)
    log.warning("%s: refused, %s", ref.scene_id, reason)
    return record


def failed_record(ref: SceneRef, settings: Settings, reason: str) -> Record:
    """The record of a scene whose run ended in an error; it is tried again next time."""
    record = _outcome(ref, settings, "failed", reason)
    try:
        write_record(settings.output.root, settings.recipe.label, record)
    except OSError as error:  # the disk that made the run fail is likely still full: the report says it
        log.warning("%s: its record could not be written: %s", ref.scene_id, error)
    return record


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


def _sharpen(scene: Scene, settings: Settings, *, clock: _Clock, progress: Progress) -> Record:
    ref, out, label = scene.ref, settings.output.root, settings.recipe.label
    _refuse_full_disk(scene, settings)
    device = resolve_device(settings.run.device)
    threads = share_threads(settings.run.workers, settings.run.threads)
    kept = KeptTraining(ref, settings)
    with clock("enhance"), kept.flushed():
        enhancement = enhance(
            scene,
            settings.recipe,
            device=device,
            prior=load_prior(settings.recipe),
            kernel=load_kernel(settings.recipe),
            checkpoint=kept.checkpoint,
            progress=progress,
        )
    made = {**enhancement.provenance, **_provenance(scene, device, threads)}
    enhancement = dataclasses.replace(enhancement, provenance=made)
    final = layout.product_folder(out, label, ref)
    staging = layout.make_staging_folder(final)
    try:
        record = _fill(staging, enhancement, settings, clock=clock, progress=progress, final=final)
        progress("publish", 0.0)
        publish(staging, final, _manifest(ref, settings))
    finally:
        shutil.rmtree(staging, ignore_errors=True)  # gone already where it was published
    shutil.rmtree(checkpoint_path(ref, settings).parent, ignore_errors=True)
    progress("publish", 1.0)
    return record


def _fill(
    staging: Path,
    enhancement: Enhancement,
    settings: Settings,
    *,
    clock: _Clock,
    progress: Progress,
    final: Path,
) -> Record:
    """Everything that a product's folder holds, but the manifest."""
    ref, output = enhancement.scene.ref, settings.output
    files = layout.ProductFiles(staging, ref.scene_id, enhancement.scale)
    scratch = layout.scratch_folder(output.root, settings.recipe.label, ref.scene_id)
    with clock("write"), tile_scheduler(settings.run, scratch / "cluster") as scheduler:
        summary = write_store(
            enhancement,
            files.store,
            chunk_px=output.chunk_px,
            compression=output.compression,
            tile_px=settings.run.tile_px,
            workers=settings.run.tiles_at_a_time,
            progress=lambda done, count: progress("write", done / count),
            institution=output.institution,
            extra_attributes={"recipe": settings.recipe.label},
            sharpened=output.sharpened,
            scheduler=scheduler,
        )
    progress("check", 0.0)
    with clock("check"):
        figures = {**enhancement.figures, **summary.figures(), **_check(enhancement, files.store)}
    context = _context(enhancement, files, settings, summary=summary, figures=figures)
    for number, (name, view) in enumerate(VIEWS.items()):
        progress("views", number / len(VIEWS))
        with clock(name):
            view(files.store, context)
    record = _outcome(
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
    files: layout.ProductFiles,
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


def _outcome(
    ref: SceneRef,
    settings: Settings,
    status: Status,
    reason: str,
    *,
    product: str = "",
    figures: Mapping[str, float | str | None] | None = None,
    clock: _Clock | None = None,
    assumptions: tuple[str, ...] = (),
) -> Record:
    return Record(
        ref=ref,
        status=status,
        reason=one_line(reason),
        recipe=settings.recipe.label,
        product=product,
        figures={**(figures or {}), **({"peak_memory_mib": clock.peak_mib} if clock else {})},
        timings_s={name: round(value, 3) for name, value in (clock.seconds if clock else {}).items()},
        assumptions=assumptions,
        context=settings.context,
        finished=now_utc(),
    )


def _remark(record: Record) -> str:
    if record.reason:
        return f": {record.reason}"
    shown = ("consistency_rmse_k", "consistency_bias_k", "selftest_skill_vs_bicubic", "gain")
    numbers = [f"{name} {record.figures[name]:.4g}" for name in shown if record.figures.get(name) is not None]
    return f", {', '.join(numbers)}" if numbers else ""


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


def _manifest(ref: SceneRef, settings: Settings) -> dict[str, Any]:
    """What the product was made of. A file that was written to meanwhile is no longer what was read."""
    files = [Path(file) for file in ref.files]
    found, each = digests_of(files)
    if found != ref.digest:
        raise UnreadableInputError(
            f"{ref.scene_id}: its files changed while it was sharpened; the new content is a new scene"
        )
    inputs = [
        {"name": file.name, "size": file.stat().st_size, "sha256": digest}
        for file, digest in zip(files, each, strict=True)
    ]
    return {
        "content_digest": ref.digest,
        "recipe": settings.recipe.label,
        "recipe_digest": settings.recipe.digest,
        "inputs": inputs,
        "code_version": version("thermal-sr"),
    }


def _provenance(scene: Scene, device: torch.device, threads: int) -> dict[str, Any]:
    """What is known only outside the science: files, software, machine."""
    packages = ("thermal-sr", "torch", "numpy", "scipy", "xarray", "zarr", "rasterio", "netCDF4", "dask")
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else platform.processor() or platform.machine()
    )
    return {
        "inputs": [Path(file).name for file in scene.ref.files],
        "content_digest": scene.ref.digest,
        "reader": scene.ref.reader,
        "facts": dict(scene.facts),
        "assumptions": list(scene.assumptions),
        "sensor": dataclasses.asdict(scene.sensor),
        "software": {package: version(package) for package in packages}
        | {"python": platform.python_version()},
        "device": {"type": device.type, "name": name, "threads": threads},
    }


class _Clock:
    """Seconds by stage, and the memory of them all; changes itself."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        forget_peak()

    @property
    def peak_mib(self) -> int:
        return peak_mib()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.monotonic() - start
