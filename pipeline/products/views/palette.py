"""Kelvin to color: one scale for a scene before and after, and a legend that says it.

Pictures hold one byte a pixel, an index into a palette: 0 is transparent (no data),
then come the colors of temperature, then a few grays for the words of the legend.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import matplotlib
import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pipeline.raster import thinned

Colors = Literal["turbo", "gray"]
TRANSPARENT = 0
_FIRST_GRAY = 240  # grays from here to 255, black to white
_STEPS = _FIRST_GRAY - 1
# Flag value to color: pale for good and no data, strong for what needs a second look.
FLAG_COLORS = {
    0: "#d9ead3",
    1: "#ffffff",
    2: "#6fa8dc",
    3: "#f6b26b",
    4: "#8e7cc3",
    5: "#cc0000",
    6: "#45818e",
}


@dataclass(frozen=True)
class ColorScale:
    """The temperatures at both ends of the colors; beyond them the end colors are used."""

    low_k: float
    high_k: float

    def indices(self, temperature: Float32[NDArray[np.float32], "y x"]) -> UInt8[NDArray[np.uint8], "y x"]:
        """(y, x) kelvin to palette indices; NaN becomes transparent."""
        share = (temperature - self.low_k) / (self.high_k - self.low_k)
        steps = 1 + np.rint(np.clip(np.nan_to_num(share), 0, 1) * (_STEPS - 1))
        return np.where(np.isfinite(temperature), steps, TRANSPARENT).astype(np.uint8)


def color_scale(temperature: Float32[NDArray[np.float32], "y x"]) -> ColorScale:
    """2nd to 98th percentile of a scene's valid pixels; at least 1 K wide, around 300 K if there are none."""
    sample = thinned(temperature)
    valid = sample[np.isfinite(sample)]
    if valid.size == 0:
        return ColorScale(299.5, 300.5)
    low, high = (float(value) for value in np.percentile(valid.astype(np.float64), (2, 98)))
    missing = max(0.0, 1.0 - (high - low)) / 2
    return ColorScale(low - missing, high + missing)


def palette_bytes(colors: Colors) -> bytes:
    """256 RGB triples in the order that `ColorScale.indices` and the legend use."""
    shares = np.linspace(0, 1, _STEPS)
    data = matplotlib.colormaps["turbo"](shares)[:, :3] if colors == "turbo" else shares[:, None].repeat(3, 1)
    grays = np.linspace(0, 1, 256 - _FIRST_GRAY)[:, None].repeat(3, 1)
    table = np.concatenate([np.zeros((1, 3)), data, grays])
    return bytes(np.rint(table * 255).astype(np.uint8).tobytes())


def blank(height: int, width: int, *, white: bool) -> UInt8[NDArray[np.uint8], "y x"]:
    """An empty (y, x) picture of indices, white or transparent."""
    return np.full((height, width), 255 if white else TRANSPARENT, np.uint8)


def text_strip(words: str, *, width: int, font_px: int) -> UInt8[NDArray[np.uint8], "y x"]:
    """One line of black words on white, cut at `width`, as indices; twice as high as its letters."""
    picture = Image.new("L", (width, 2 * font_px), 255)
    ImageDraw.Draw(picture).text((font_px // 2, font_px // 2), words, fill=0, font=_font(font_px))
    return _as_grays(picture)


def legend_strip(scale: ColorScale, *, width: int, font_px: int) -> UInt8[NDArray[np.uint8], "y x"]:
    """The colors from low to high with temperatures in K below them, as indices."""
    margin, bar_px = font_px * 3, font_px
    bar_width = max(width - 2 * margin, 2)
    picture = Image.new("L", (width, 4 * font_px), 255)
    draw, font = ImageDraw.Draw(picture), _font(font_px)
    labels = max(2, min(9, bar_width // (8 * font_px)))
    decimals = 0 if scale.high_k - scale.low_k >= 4 * (labels - 1) else 1
    for share in np.linspace(0, 1, labels):
        at = margin + share * (bar_width - 1)
        draw.line([(at, 1.5 * font_px), (at, 1.9 * font_px)], fill=0, width=max(1, font_px // 10))
        value = scale.low_k + share * (scale.high_k - scale.low_k)
        draw.text((at, 2.1 * font_px), f"{value:.{decimals}f} K", fill=0, font=font, anchor="ma")
    strip = _as_grays(picture)
    ramp = np.rint(np.linspace(1, _STEPS, bar_width)).astype(np.uint8)
    strip[font_px // 2 : font_px // 2 + bar_px, margin : margin + bar_width] = ramp
    return strip


def _font(font_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=font_px)


def _as_grays(picture: Image.Image) -> UInt8[NDArray[np.uint8], "y x"]:
    return (_FIRST_GRAY + np.asarray(picture) // 16).astype(np.uint8)
