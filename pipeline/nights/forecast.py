"""How long scenes will take and how large their products will be, learned from those that have run.

A number grows with the pixels of a scene (`growth`). Without records of the recipe those of recipes like it
count, and without any the figures of a small machine; the forecast says which.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import DamagedProductError
from pipeline.nights.growth import LEAST_RECORDS, Line, error_fraction, fit
from pipeline.products.layout import MANIFEST, published_folders, recipe_folders
from pipeline.products.records import read_record
from pipeline.scene import SceneRef
from pipeline.scene_sizes import scene_pixels
from pipeline.settings import Settings

MOST_RECORDS = 200
GUESS_S = (3.0, 4e-5)  # seconds, and seconds a pixel of the product: two cores
GUESS_BYTES = (2e6, 12.0)
GUESS_PIXELS = 1_000_000
GENEROUS = 10.0  # a scene's time limit in forecast times
LEAST_LIMIT_S = 1800.0
CAREFUL = 3.0  # a job's time limit in forecast times


@dataclass(frozen=True)
class Ran:
    """What one scene took.

    Attributes:
        pixels: Of the scene.
        seconds: From its files to its product.
        size: Bytes of the product.
        gpu_memory_mib: Most memory of the GPU; 0 without one.
    """

    pixels: float
    seconds: float
    size: float
    gpu_memory_mib: float = 0.0


@dataclass(frozen=True)
class Forecast:
    """What scenes of a recipe take.

    Attributes:
        seconds: Of a scene, from its files to its product.
        size: Bytes of a product.
        gpu_memory_mib: Memory of the GPU.
        records: Number of records that it was learned from.
        error_fraction: Mean error of the seconds of the newest scenes, each forecast from those before it, as
            a share; NaN below three records.
        of_recipe: Whether the records are this recipe's.
    """

    seconds: Line
    size: Line
    gpu_memory_mib: Line
    records: int
    error_fraction: float
    of_recipe: bool

    @property
    def ground(self) -> str:
        """What it rests on, in words."""
        if not self.records:
            return "no scene has run yet: a guess"
        whose = "of this recipe" if self.of_recipe else "of recipes like it"
        error = "" if np.isnan(self.error_fraction) else f", {self.error_fraction:.0%} of error in the mean"
        return f"learned from {self.records} scenes {whose}{error}"


@dataclass(frozen=True)
class Expected:
    """What one scene will take.

    Attributes:
        scene_id: The scene.
        pixels: Of the scene; the median of the others where its files do not tell.
        seconds: From its files to its product.
        size: Bytes of its product.
        gpu_memory_mib: Memory of the GPU; 0 on a CPU.
    """

    scene_id: str
    pixels: float
    seconds: float
    size: float
    gpu_memory_mib: float


@dataclass(frozen=True)
class Outlook:
    """What lies ahead of a night.

    Attributes:
        forecast: Learned from what has run.
        expected: What each scene will take, by scene_id, in the order of the scenes.
    """

    forecast: Forecast
    expected: Mapping[str, Expected]


def look_ahead(refs: Sequence[SceneRef], settings: Settings) -> Outlook:
    """What the scenes will take; a night asks once, for records and heads of files are read."""
    forecast, sizes = learn(settings), scene_pixels(refs, settings)
    usual = float(np.median(list(sizes.values()))) if sizes else float(GUESS_PIXELS)
    expected = {}
    for ref in refs:
        pixels = float(sizes.get(ref.scene_id, usual))
        gpu = forecast.gpu_memory_mib(pixels)
        expected[ref.scene_id] = Expected(
            ref.scene_id, pixels, forecast.seconds(pixels), forecast.size(pixels), gpu
        )
    return Outlook(forecast, expected)


def night_s(expected: Sequence[Expected], at_a_time: int) -> float:
    """Seconds until the last of the scenes is done, where so many run at a time."""
    busy = [0.0] * max(at_a_time, 1)
    for each in expected:
        busy[busy.index(min(busy))] += each.seconds
    return max(busy)


def fitting(expected: Sequence[Expected], budget_s: float, at_a_time: int) -> set[str]:
    """Names of the scenes that are done within the budget: in their order, and what still fits after them."""
    busy, names = [0.0] * max(at_a_time, 1), set()
    for each in expected:
        place = busy.index(min(busy))
        if busy[place] + each.seconds <= budget_s:
            busy[place] += each.seconds
            names.add(each.scene_id)
    return names


def within_budget(refs: Sequence[SceneRef], settings: Settings, ahead: Outlook) -> list[SceneRef]:
    """The scenes that are likely done within `run.budget_s`, in the same order; all without a budget."""
    if not settings.run.budget_s or not refs:
        return list(refs)
    names = fitting(list(ahead.expected.values()), settings.run.budget_s, at_a_time(settings))
    return [ref for ref in refs if ref.scene_id in names]


def may_begin(settings: Settings, ahead: Outlook) -> Callable[[SceneRef], bool]:
    """Tells of each scene, when its turn comes, whether it likely ends within what is left of the budget."""
    budget_s, begun_s = settings.run.budget_s, time.monotonic()
    if not budget_s:
        return lambda _: True
    return lambda ref: time.monotonic() - begun_s + ahead.expected[ref.scene_id].seconds <= budget_s


def at_a_time(settings: Settings) -> int:
    """How many scenes run at the same time, as far as the settings tell."""
    run = settings.run
    if run.dispatch != "in_place":
        return max(run.slurm.workers, 1)
    import torch  # here, for it takes a second to import

    from pipeline.process import resolve_device

    device = resolve_device(run.device)
    if device.type == "cpu":
        return run.workers
    return torch.cuda.device_count() if run.device in ("auto", "cuda") else 1


def with_job_time(refs: Sequence[SceneRef], settings: Settings, ahead: Outlook) -> Settings:
    """The settings with a time limit for SLURM jobs in `run.slurm.options`.

    It is `CAREFUL` times what a job's share of the scenes and the longest of them take. Where the options
    name one already, or no scene of the recipe has run yet, the settings are as they were.
    """
    options = settings.run.slurm.options
    said = any(option.startswith(("--time", "-t")) for option in options)
    if said or not ahead.forecast.of_recipe:
        return settings
    seconds = [ahead.expected[ref.scene_id].seconds for ref in refs]
    share_s = sum(seconds) / min(at_a_time(settings), len(refs)) + max(seconds)
    minutes = math.ceil(CAREFUL * max(share_s, 300.0) / 60)
    slurm = settings.run.slurm.model_copy(update={"options": (*options, f"--time={minutes}")})
    return settings.model_copy(update={"run": settings.run.model_copy(update={"slurm": slurm})})


def with_limit(settings: Settings, ahead: Outlook) -> Settings:
    """The settings with a time limit for each scene, `run.limit_s`, unless they say one.

    As they were where fewer than three scenes of the recipe have run: a wrong guess would end good scenes.
    """
    forecast = ahead.forecast
    known = forecast.of_recipe and forecast.records >= LEAST_RECORDS
    if settings.run.limit_s or not ahead.expected or not known:
        return settings
    longest_s = max(each.seconds for each in ahead.expected.values())
    limit_s = max(GENEROUS * longest_s, LEAST_LIMIT_S)
    return settings.model_copy(update={"run": settings.run.model_copy(update={"limit_s": limit_s})})


def learn(settings: Settings) -> Forecast:
    """The forecast for a recipe, from the newest records below the output root."""
    recipe, out = settings.recipe, settings.output.root
    like = recipe.label.rpartition("-")[0]
    folders = [folder for folder in recipe_folders(out) if folder.name.rpartition("-")[0] == like]
    own = [ran for folder in folders if folder.name == recipe.label for ran in what_ran(folder)]
    ran = own or [ran for folder in folders for ran in what_ran(folder)]
    return forecast_of(ran, scale=recipe.scale, of_recipe=bool(own))


def forecast_of(ran: Sequence[Ran], *, scale: int, of_recipe: bool = True) -> Forecast:
    """The forecast from what has run; a guess where nothing has."""
    if not ran:
        fine = scale**2
        guess = Line(GUESS_S[0], GUESS_S[1] * fine)
        size = Line(GUESS_BYTES[0], GUESS_BYTES[1] * fine)
        return Forecast(guess, size, Line(0, 0), 0, float("nan"), of_recipe)
    pixels = np.array([each.pixels for each in ran])
    total = np.array([each.seconds for each in ran])
    return Forecast(
        seconds=fit(pixels, total),
        size=fit(pixels, np.array([float(each.size) for each in ran])),
        gpu_memory_mib=fit(pixels, np.array([each.gpu_memory_mib for each in ran])),
        records=len(ran),
        error_fraction=error_fraction(pixels, total),
        of_recipe=of_recipe,
    )


def what_ran(recipe_folder: Path) -> list[Ran]:
    """What the newest products of a recipe took; those that do not tell are left out."""
    folders = sorted(published_folders(recipe_folder), key=_made, reverse=True)
    return list(itertools.islice(_told(folders), MOST_RECORDS))


def _told(folders: Sequence[Path]) -> Iterator[Ran]:
    for folder in folders:
        try:
            record = read_record(folder)
            files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
            size = sum(int(size) for size, _ in files.values())
        except (DamagedProductError, OSError, ValueError, KeyError, TypeError):
            continue
        names = ("scene_pixels", "peak_gpu_memory_mib")
        pixels, gpu = (float(record.figures.get(name) or 0) for name in names)
        if pixels and record.timings_s:
            yield Ran(pixels, sum(record.timings_s.values()), size, gpu)


def _made(folder: Path) -> float:
    try:
        return (folder / MANIFEST).stat().st_mtime
    except OSError:
        return 0.0
