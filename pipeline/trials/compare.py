"""Several networks on several scenes, in one table: what each gains over methods that learn nothing.

Every scene is taken for the truth, degraded, and recovered by each network with all that it adds (the gate
is off unless it is asked for), so a network that loses is seen to lose.
"""

from __future__ import annotations

import csv
import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from pipeline.files import write_json
from pipeline.grid import Window
from pipeline.memory import forget_peak, peak_mib
from pipeline.recipe import Recipe
from pipeline.scene import Scene
from pipeline.settings import Settings
from pipeline.superres.sensing.degrade import Degrade
from pipeline.text import table_cell
from pipeline.trials.evaluate import (
    Degradation,
    degraded_square,
    enhanced,
    methods_without_learning,
    told_recipe,
)
from pipeline.trials.metrics import accuracy

Picture: TypeAlias = Float32[NDArray[np.float32], "_ _"]
_Answer: TypeAlias = tuple[Picture, dict[str, Any]]

PRIOR, PRETRAINED = "prior", "pretrained"
MAKING = ("recipe.train.", "recipe.pairs.", "recipe.network.")
FIGURES = ("rmse_k", "mae_k", "psnr_db", "ssim", "consistency_k", "detail_correlation")
COLUMNS = ("scene", "scale", "method", *FIGURES, "parameters", "process_s", "peak_mib", "note")
SHOWN_PX = 96  # of the truth, a side, in the picture


@dataclass(frozen=True)
class Row:
    """One method on one scene at one enlargement.

    Attributes:
        figures: What `COLUMNS` names; a figure that a method does not have is None.
        answer: (y, x) kelvin.
    """

    figures: Mapping[str, Any]
    answer: Picture


@dataclass(frozen=True)
class Comparison:
    """Every method on one scene at one enlargement.

    Attributes:
        title: Scene and enlargement.
        truth: (y, x) kelvin.
        rows: Methods that learn nothing first.
    """

    title: str
    truth: Picture
    rows: tuple[Row, ...]


def network_words(name: str, more: Iterable[str] = ()) -> list[str]:
    """The settings that a short name stands for: "swinir", "swinir:standard", "attention:window", "prior".

    "pretrained:FILE" are weights of others. `more` are settings for all of them; a prior and weights of
    others get none that say how a network is made or trained.
    """
    network, _, kind = name.partition(":")
    kept = [word for word in more if not word.startswith(MAKING)]
    if name == PRIOR:
        return ["recipe.prior=shipped", "recipe.detail=prior", *kept]
    if network == PRETRAINED:
        return [f"recipe.network.pretrained={kind}", *kept]
    words = ["recipe.prior=none", f"recipe.network.name={network}"]
    if kind:
        setting = "size" if kind in ("small", "standard", "original") else "attention"
        words.append(f"recipe.network.{setting}={kind}")
    return [*words, *more]


def compare(
    reference: Scene,
    networks: Mapping[str, Settings],
    *,
    degraded: Degradation,
    noise_k: float,
    size_px: int,
    told: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Degrade a scene, and recover it by every network and by methods that learn nothing.

    Args:
        reference: The truth.
        networks: Settings by the name that the table shows; at least one.
        degraded: What makes the scene of the reference.
        noise_k: Standard deviation of the noise added to the scene, in kelvin.
        size_px: Side of the most textured part of the reference that is used.
        told: Told the name of each method before it starts.

    Raises:
        UnusableInputError: If the reference has no such part.
    """
    degrade, first = degraded.degrade, next(iter(networks.values())).recipe.degrade
    _, _, truth, scene = degraded_square(reference, first, degraded, noise_k=noise_k, size_px=size_px)
    lr = scene.temperature
    about = {"scene": reference.ref.scene_id, "scale": degrade.scale}
    ways: dict[str, Callable[[], _Answer]] = {
        name: partial(_without_learning, method, lr)
        for name, method in methods_without_learning(degrade, noise_k, 0).items()
    }
    for name, settings in networks.items():
        ways[name] = partial(_learned, scene, settings, told_recipe(settings.recipe, degraded, noise_k))
    rows = []
    for name, way in ways.items():
        told(name)
        rows.append(_row({**about, "method": name}, way, truth, lr, degrade))
    return Comparison(f"{reference.ref.scene_id[:20]} x{degrade.scale}", truth, tuple(rows))


def _without_learning(method: Callable[[Picture], Picture], lr: Picture) -> _Answer:
    return method(lr), {}


def _learned(scene: Scene, settings: Settings, recipe: Recipe) -> _Answer:
    """What the recipe makes of the scene, the size of its network, and why it fell back where it did."""
    enhancement = enhanced(scene, settings, recipe)
    pixels = enhancement.compute(Window(0, 0, *enhancement.scene.grid.shape))
    parameters = enhancement.provenance["network"].get("parameters")
    return pixels.temperature, {"parameters": parameters, "note": enhancement.fallback}


def _row(
    about: Mapping[str, Any],
    method: Callable[[], _Answer],
    truth: Picture,
    lr: Picture,
    degrade: Degrade,
) -> Row:
    """Run a method and measure it; seconds are those of all processors."""
    forget_peak()
    start = time.process_time()
    answer, more = method()
    seconds = time.process_time() - start
    measured = dataclasses.asdict(accuracy(answer, truth, lr, degrade))
    figures = {name: measured[name] for name in FIGURES}
    cost = {"parameters": None, "note": "", **more, "process_s": seconds, "peak_mib": peak_mib()}
    return Row({**about, **figures, **cost}, answer)


def write_comparison(comparisons: Sequence[Comparison], folder: Path, command: str) -> list[Path]:
    """`comparison.csv`, `comparison.json` and `comparison.png`; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row.figures for comparison in comparisons for row in comparison.rows]
    table, plain, picture = (folder / f"comparison.{kind}" for kind in ("csv", "json", "png"))
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([table_cell(row[name]) for name in COLUMNS] for row in rows)
    write_json(plain, {"command": command, "rows": rows, "means": mean_rows(comparisons)})
    _draw(comparisons, picture)
    return [table, plain, picture]


def mean_rows(comparisons: Iterable[Comparison]) -> list[dict[str, Any]]:
    """One row a method and enlargement: its RMSE over that of bicubic, as geometric mean over the scenes."""
    ratios: dict[tuple[int, str], list[float]] = {}
    for comparison in comparisons:
        bicubic = next(row for row in comparison.rows if row.figures["method"] == "bicubic")
        for row in comparison.rows:
            ratio = row.figures["rmse_k"] / bicubic.figures["rmse_k"]
            ratios.setdefault((row.figures["scale"], row.figures["method"]), []).append(ratio)
    return [
        {
            "scale": scale,
            "method": method,
            "scenes": len(found),
            "rmse_over_bicubic": float(np.exp(np.mean(np.log(found)))),
            "scenes_worse_than_bicubic": sum(ratio > 1 for ratio in found),
        }
        for (scale, method), found in ratios.items()
    ]


def _draw(comparisons: Sequence[Comparison], path: Path) -> None:
    """A row of pictures a comparison: the truth and every answer on one color scale, with its RMSE."""
    from matplotlib.figure import Figure

    most = max(len(comparison.rows) for comparison in comparisons)
    figure = Figure(figsize=(1.9 * (most + 1), 2.2 * len(comparisons)), layout="constrained")
    axes = figure.subplots(len(comparisons), most + 1, squeeze=False)
    for line, comparison in zip(axes, comparisons, strict=True):
        middle = [
            slice(max(size - SHOWN_PX, 0) // 2, max(size - SHOWN_PX, 0) // 2 + SHOWN_PX)
            for size in comparison.truth.shape
        ]
        part = tuple(middle)
        low, high = np.percentile(comparison.truth[part], [1, 99])
        shown = [("truth", comparison.truth)] + [
            (f"{row.figures['method']}\n{row.figures['rmse_k']:.3f} K", row.answer) for row in comparison.rows
        ]
        for axis in line:
            axis.set_axis_off()
        for axis, (title, picture) in zip(line, shown, strict=False):
            axis.imshow(picture[part], cmap="turbo", vmin=low, vmax=high, interpolation="nearest")
            axis.set_title(title, fontsize=7)
        line[0].set_title(f"{comparison.title}\ntruth", fontsize=7)
    figure.savefig(path, dpi=110)
