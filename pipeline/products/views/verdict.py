"""What is said of a product first: its verdict in a line, and its numbers in the order that matters."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pipeline import figures
from pipeline.figures import FIGURES, Value
from pipeline.products.view_context import ViewContext
from pipeline.text import latin_line


def described(context: ViewContext) -> str:
    """What the product is, in one line: temperature of what, whose, when, how much finer."""
    scene, scale = context.enhancement.scene, context.enhancement.scale
    told = scene.edition
    words = " ".join(
        f"{title}{told[figure.name]}"
        for title, figure in (("", figures.SOURCE_LEVEL), ("collection ", figures.SOURCE_COLLECTION))
        if figure.name in told
    )
    when = scene.ref.acquired or "undated"
    if figures.DAY_OR_NIGHT.name in told:
        when += f" ({told[figures.DAY_OR_NIGHT.name]})"
    spacing = max(scene.gsd_m)
    sizes = f"{spacing:.4g} m to {spacing / scale:.4g} m" if math.isfinite(spacing) else ""
    parts = (scene.quantity.replace("_", " "), scene.sensor.name, words, when, f"x{scale}", sizes)
    return latin_line(", ".join(filter(None, parts)))


def headline(context: ViewContext) -> tuple[str, bool]:
    """The verdict in one line, and whether it is a good one."""
    enhancement, known = context.enhancement, context.figures
    gain, won = figures.GAIN.value(known), figures.SKILL.value(known)
    if enhancement.fallback:
        verdict = f"fell back to the base: {latin_line(enhancement.fallback)}"
    elif gain:
        verdict = f"sharpened by the network, gain {gain:.2f}"
    else:
        verdict = "sharpened by the base, no network"
    good = not enhancement.fallback
    # Over the base and not over bicubic: against bicubic a wider blur wins more, right or wrong.
    if gain and won is not None:
        verdict += f"; self-test {won:+.1%} on the base"
        good = good and round(won, 3) > 0  # as it is shown
    for figure, title in figures.WARNINGS.items():
        if words := figure.text(known):
            verdict, good = f"{verdict}. {title}: {latin_line(words)}", False
    return verdict, good


def number_lines(known: Mapping[str, Value]) -> list[tuple[str, str]]:
    """(label, value with unit) of what is known and belongs on the card, what matters most first."""
    shown = ((figure.label, latin_line(figure.text(known))) for figure in FIGURES.values() if figure.on_card)
    return [(label, value) for label, value in shown if value]
