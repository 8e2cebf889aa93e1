"""The quality card: what a person should know of a product, seen in ten seconds.

The largest words say how it ended. Then the piece of the scene with the most texture:
bicubic, product, their difference, how sure, which flags; at last where that piece
lies, how the training went, and the numbers. Where a prior was used without training,
the self-test stands in its place: on how many tiles the product beat bicubic.
"""

from __future__ import annotations

import textwrap
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from pipeline import figures
from pipeline.grid import Window
from pipeline.products.store.attributes import FLAG_VARIABLE
from pipeline.products.store.zarr_store import open_store, temperature_name
from pipeline.products.view_context import CurvePoint, ViewContext
from pipeline.products.views.overview import shrink, shrink_factor, store_reader
from pipeline.products.views.palette import FLAG_COLORS, color_scale
from pipeline.products.views.pictures import PNG_LEVEL
from pipeline.products.views.verdict import described, headline, number_lines
from pipeline.raster import bicubic, most_textured
from pipeline.scene import FLAG_MEANINGS
from pipeline.text import latin_line

DETAIL_PX = 320  # product pixels a side of the piece that is shown
LARGEST_DETAIL_PX = 256  # the same in scene pixels
OVERVIEW_PX = 900
_MOST_NUMBERS = 30
_FLOOR_IN, _NUMBERS_IN = 0.35, 3.9  # below the numbers, and from there to their top
_WIDTH_IN, _HEIGHT_IN, _MARGIN_IN, _GAP_IN, _HEADER_IN, _PANEL_IN, _ROW_IN = (
    15,
    17.3,
    0.35,
    0.25,
    1.55,
    4.6,
    5.75,
)
_DRAWING = threading.Lock()  # matplotlib's font cache is shared by all threads


@dataclass(frozen=True)
class _Detail:
    """The piece that is shown, on the product's grid; all (y, x)."""

    window: Window
    bicubic: Float32[NDArray[np.float32], "y x"]
    product: Float32[NDArray[np.float32], "y x"]
    uncertainty: Float32[NDArray[np.float32], "y x"]
    flag: UInt8[NDArray[np.uint8], "y x"]


def write_card(store: Path, context: ViewContext) -> list[Path]:
    """The view: one picture; whatever is not known is left out of it."""
    with open_store(store) as dataset:
        name = temperature_name(dataset)
        detail = _read_detail(context, dataset, name)
        shape = context.enhancement.grid.shape
        overview = shrink(store_reader(dataset[name]), shape, shrink_factor(shape, OVERVIEW_PX))
    with _DRAWING:
        figure = Figure(figsize=(_WIDTH_IN, _HEIGHT_IN), dpi=110, facecolor="white")
        canvas = FigureCanvasAgg(figure)
        _draw(figure, detail, overview, context)
        title, quick = latin_line(context.files.scene_id), {"compress_level": PNG_LEVEL}
        canvas.print_figure(context.files.card, metadata={"Title": title}, pil_kwargs=quick)
    return [context.files.card]


def _read_detail(context: ViewContext, dataset: Any, name: str) -> _Detail:
    enhancement = context.enhancement
    scale, temperature = enhancement.scale, enhancement.scene.temperature
    window = most_textured(temperature, max(1, min(LARGEST_DETAIL_PX, DETAIL_PX // scale)))
    fine = window.refine(scale)
    return _Detail(
        window=window,
        bicubic=bicubic(temperature, window, scale),
        product=np.asarray(dataset[name][fine.slices]),
        uncertainty=np.asarray(dataset[f"{name}_uncertainty"][fine.slices]),
        flag=np.asarray(dataset[FLAG_VARIABLE][fine.slices]),
    )


def _draw(
    figure: Figure, detail: _Detail, overview: Float32[NDArray[np.float32], "y x"], context: ViewContext
) -> None:
    """Place three rows of three; positions are inches, because pictures must not be squeezed."""
    ours = color_scale(np.concatenate([detail.bicubic, detail.product]))
    whole = color_scale(context.enhancement.scene.temperature)
    difference = detail.product - detail.bicubic
    most = max(_percentile(np.abs(difference), 99), 1e-3)
    high = max(_percentile(detail.uncertainty, 99), 1e-3)
    kelvin = {"cmap": "turbo", "vmin": ours.low_k, "vmax": ours.high_k}
    _picture(figure, (0, 0), detail.bicubic, "bicubic", **kelvin)
    _picture(figure, (0, 1), detail.product, f"product x{context.enhancement.scale}", **kelvin)
    _picture(figure, (0, 2), difference, "product minus bicubic", cmap="RdBu_r", vmin=-most, vmax=most)
    known = ", not calibrated" if figures.CALIBRATED.value(context.figures) == 0 else ""
    _picture(
        figure, (1, 0), detail.uncertainty, f"uncertainty (1 sigma{known})", cmap="magma", vmin=0, vmax=high
    )
    _flags(figure, (1, 1), detail.flag, context.summary.flag_fractions)
    limits = {"cmap": "turbo", "vmin": whole.low_k, "vmax": whole.high_k}
    axes = _picture(figure, (1, 2), overview, "whole product, the piece framed", **limits)
    _frame(axes, detail.window, overview, context)
    _lower_left(figure, context)
    _numbers(figure, context)
    _headline(figure, context)


def _headline(figure: Figure, context: ViewContext) -> None:
    verdict, good = headline(context)
    color = "#38761d" if good else "#b45f06"
    size = 22 if len(verdict) < 70 else 15
    lines: list[tuple[str, float, dict[str, Any]]] = [
        (
            "\n".join(textwrap.wrap(verdict, 110)[:2]),
            _HEIGHT_IN - 0.12,
            {"size": size, "weight": "bold", "color": color},
        ),
        (context.enhancement.scene.ref.scene_id, _HEIGHT_IN - 0.72, {"size": 12}),
        (described(context), _HEIGHT_IN - 0.97, {"size": 12}),
    ]
    for words, top, looks in lines:
        figure.text(0.5, top / _HEIGHT_IN, words, ha="center", va="top", parse_math=False, **looks)


def _axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place given in inches from the lower left corner."""
    place = (left / _WIDTH_IN, bottom / _HEIGHT_IN, width / _WIDTH_IN, height / _HEIGHT_IN)
    return figure.add_axes(place)


def _panel(figure: Figure, place: tuple[int, int], title: str) -> tuple[Axes, float, float]:
    """Axes for a picture at a row and column, with the left and bottom of the strip below it."""
    row, column = place
    left = _MARGIN_IN + column * (_PANEL_IN + _GAP_IN)
    bottom = _HEIGHT_IN - _HEADER_IN - row * _ROW_IN - _PANEL_IN
    axes = _axes(figure, left, bottom, _PANEL_IN, _PANEL_IN)
    axes.set_title(title, fontsize=14)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor("#eeeeee")
    return axes, left, bottom


def _picture(
    figure: Figure,
    place: tuple[int, int],
    values: Float32[NDArray[np.float32], "y x"],
    title: str,
    **limits: Any,
) -> Axes:
    axes, left, bottom = _panel(figure, place, title)
    image = axes.imshow(values, interpolation="nearest", **limits)
    figure.colorbar(
        image,
        cax=_axes(figure, left, bottom - 0.22, _PANEL_IN, 0.14),
        orientation="horizontal",
        format="%g K",
    )
    return axes


def _flags(
    figure: Figure,
    place: tuple[int, int],
    flag: UInt8[NDArray[np.uint8], "y x"],
    fractions: Mapping[str, float],
) -> None:
    axes, *_ = _panel(figure, place, "flags (share of the whole product)")
    colors = [FLAG_COLORS.get(value, "#000000") for value in sorted(FLAG_MEANINGS)]
    norm = BoundaryNorm(np.arange(len(colors) + 1) - 0.5, len(colors))
    axes.imshow(flag, interpolation="nearest", cmap=ListedColormap(colors), norm=norm)
    handles = [
        Patch(
            facecolor=FLAG_COLORS.get(value, "#000000"),
            edgecolor="black",
            label=f"{meaning.replace('_', ' ')} {_percent(fractions.get(meaning, 0.0))}",
        )
        for value, meaning in FLAG_MEANINGS.items()
    ]
    axes.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2, frameon=False, fontsize=9.5
    )


def _frame(
    axes: Axes, window: Window, overview: Float32[NDArray[np.float32], "y x"], context: ViewContext
) -> None:
    """Show where the piece lies; white in black, to be seen on any color."""
    share = overview.shape[1] / context.enhancement.scene.grid.width
    corner = window.column * share - 0.5, window.row * share - 0.5
    for color, width in (("black", 4), ("white", 2)):
        frame = Rectangle(
            corner, window.width * share, window.height * share, fill=False, edgecolor=color, linewidth=width
        )
        axes.add_patch(frame)


def _lower_left(figure: Figure, context: ViewContext) -> None:
    """The training, or the self-test where nothing was trained."""
    axes = _axes(figure, _MARGIN_IN + 0.45, 0.7, _PANEL_IN - 0.45, 3.2)
    tiles = (context.enhancement.provenance.get("selftest") or {}).get("vs_bicubic", {})
    if context.curve:
        _curve(axes, context.curve)
    elif sum(tiles.get("tiles", ())):
        _tiles(axes, tiles["edges"], tiles["tiles"])
    else:
        axes.set_title("training", fontsize=14)
        axes.set_axis_off()
        axes.text(0.5, 0.5, "none", ha="center", va="center", fontsize=13, color="#666666")


def _tiles(axes: Axes, edges: Sequence[float], counts: Sequence[int]) -> None:
    """How many tiles of the self-test were won against bicubic, and by how much."""
    starts, widths = np.asarray(edges[:-1]), np.diff(edges)
    won = starts + widths / 2 < 1
    axes.bar(
        starts, counts, widths, align="edge", color=np.where(won, "#38761d", "#f6b26b"), edgecolor="white"
    )
    axes.axvline(1, color="black", linewidth=1)
    share = np.asarray(counts)[won].sum() / sum(counts)
    axes.set_title(f"self-test: {100 * share:.3g} % of tiles better than bicubic", fontsize=14)
    axes.set_xlabel("error of the product / error of bicubic, tiles of 16 x 16 px")
    axes.set_ylabel("tiles")
    axes.set_xlim(edges[0], edges[-1])
    axes.grid(alpha=0.3, axis="y")


def _curve(axes: Axes, curve: Sequence[CurvePoint]) -> None:
    axes.set_title("training", fontsize=14)
    axes.plot([step for step, _, _ in curve], [loss for _, loss, _ in curve], color="#999999", label="loss")
    judged = [(step, validation) for step, _, validation in curve if validation is not None]
    if judged:
        steps, validations = zip(*judged, strict=True)
        axes.plot(steps, validations, color="#38761d", marker="o", markersize=3, label="validation")
    axes.set_xlabel("step")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)


def _numbers(figure: Figure, context: ViewContext) -> None:
    """What matters most, each with its meaning; beside it the other figures, which the page explains."""
    known = {**context.figures, **context.summary.figures()}
    first = figures.matter_most(known)
    left = _MARGIN_IN + _PANEL_IN + _GAP_IN
    for number, one in enumerate(first):
        top = _NUMBERS_IN - number * _NUMBERS_IN / figures.MATTER_MOST
        _number(figure, (left, top), (one.label, one.text(known)), size=11, color="black", weight="bold")
        words = "\n".join(textwrap.wrap(one.meaning, 86))
        looks: dict[str, Any] = {"size": 8, "color": "#595959", "va": "top", "parse_math": False}
        figure.text(left / _WIDTH_IN, (top - 0.19 + _FLOOR_IN) / _HEIGHT_IN, words, **looks)
    left += _PANEL_IN + _GAP_IN
    for number, line in enumerate(number_lines(known)[len(first) : _MOST_NUMBERS]):
        top = _NUMBERS_IN - number * _NUMBERS_IN / (_MOST_NUMBERS - figures.MATTER_MOST)
        _number(figure, (left, top), line, size=9.5, color="#595959", weight="normal")


def _number(
    figure: Figure, place: tuple[float, float], line: tuple[str, str], *, weight: str, **looks: Any
) -> None:
    """A figure's label and, at the right end of its column, its value; place in inches above the floor."""
    left, top = place[0] / _WIDTH_IN, (place[1] + _FLOOR_IN) / _HEIGHT_IN
    looks |= {"va": "top", "parse_math": False}
    figure.text(left, top, line[0][:36], **looks)
    figure.text(left + _PANEL_IN / _WIDTH_IN, top, line[1][:28], ha="right", weight=weight, **looks)


def _percent(fraction: float) -> str:
    return "< 0.01 %" if 0 < fraction < 1e-4 else f"{100 * fraction:.2g} %"


def _percentile(values: Float32[NDArray[np.float32], "y x"], percent: float) -> float:
    valid = values[np.isfinite(values)]
    return float(np.percentile(valid, percent)) if valid.size else 0.0
