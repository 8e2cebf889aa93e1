"""Pictures of the scene before and after, in color and in gray, on one color scale.

A pixel of the data is a pixel of the picture, at the same row and column, up to a
limit; beyond it the picture is an overview of block means. The legend is attached
below, so nothing of the scene is covered. Pixels come from the store piece by piece.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pipeline.products.store.zarr_store import open_store, temperature_name
from pipeline.products.view_context import ViewContext
from pipeline.products.views.overview import (
    Reader,
    array_reader,
    enlarged_reader,
    shrink_factor,
    shrink_pieces,
    shrunk_shape,
    store_reader,
)
from pipeline.products.views.palette import (
    Colors,
    ColorScale,
    blank,
    color_scale,
    legend_strip,
    palette_bytes,
    text_strip,
)
from pipeline.raster import most_textured, split_pixels
from pipeline.text import latin_line

NARROWEST_PX = 360  # a legend needs this much room
OVERVIEW_PX = 1024  # side of a comparison's panels where the scenes do not fit at full size
PNG_LEVEL = 3  # half the seconds of 6, and files of the same size
_ZOOM = 2  # of the comparison's detail


def write_pictures(store: Path, context: ViewContext) -> list[Path]:
    """The view: original and enhanced in turbo and gray, and a comparison of both."""
    scene, files, limit = context.enhancement.scene, context.files, context.settings.preview_max_px
    shape, scale = context.enhancement.grid.shape, color_scale(scene.temperature)
    with open_store(store) as dataset:
        read = store_reader(dataset[temperature_name(dataset)])
        before = _draw(array_reader(scene.temperature), scene.grid.shape, scale, limit_px=limit)
        after = _draw(read, shape, scale, limit_px=limit)
        both = _comparison(read, context, scale)
    jobs: list[tuple[Path, UInt8[NDArray[np.uint8], "_ _"], Colors]] = [
        (files.original_turbo, before, "turbo"),
        (files.enhanced_turbo, after, "turbo"),
        (files.original_gray, before, "gray"),
        (files.enhanced_gray, after, "gray"),
    ]
    for path, picture, colors in jobs:
        save_picture(path, with_legend(picture, scale), scale, colors=colors, title=scene.ref.scene_id)
    save_picture(files.comparison, both, scale, colors="turbo", title=scene.ref.scene_id)
    return [path for path, *_ in jobs] + [files.comparison]


def _draw(
    read: Reader, shape: tuple[int, int], scale: ColorScale, *, limit_px: int
) -> UInt8[NDArray[np.uint8], "y x"]:
    """A raster as palette indices, 1:1 or shrunk to the limit; only bytes of it are ever held whole."""
    factor = shrink_factor(shape, limit_px)
    picture = blank(*shrunk_shape(shape, factor), white=False)
    for place, values in shrink_pieces(read, shape, factor):
        picture[place.slices] = scale.indices(values)
    return picture


def _comparison(read: Reader, context: ViewContext, scale: ColorScale) -> UInt8[NDArray[np.uint8], "y x"]:
    """Original (nearest neighbor) and enhanced side by side; where only an overview fits, a detail below."""
    enhancement, limit = context.enhancement, context.settings.preview_max_px
    scene, shape = enhancement.scene, enhancement.grid.shape
    readers = (enlarged_reader(scene.temperature, enhancement.scale), read)
    fits = max(shape[0], 2 * shape[1]) <= limit
    side = max(shape) if fits else min(OVERVIEW_PX, limit // 2)
    panels = [_draw(reader, shape, scale, limit_px=side) for reader in readers]
    font_px = _font_px(2 * panels[0].shape[1])
    titles = [
        f"original{_spacing(context, 1)}",
        f"enhanced x{enhancement.scale}{_spacing(context, enhancement.scale)}",
    ]
    rows = [_side_by_side(panels, titles, font_px=font_px)]
    if not fits:
        detail = most_textured(scene.temperature, max(max(panels[0].shape) // _ZOOM // enhancement.scale, 1))
        fine = detail.refine(enhancement.scale)
        zoomed = [split_pixels(scale.indices(reader(fine)), _ZOOM) for reader in readers]
        where = f"detail at row {detail.row}, column {detail.column} of the original"
        rows.append(
            _side_by_side(zoomed, [f"original, {where}", "enhanced, the same detail"], font_px=font_px)
        )
    return with_legend(_stack(rows), scale, font_px=font_px)


def _side_by_side(
    panels: list[UInt8[NDArray[np.uint8], "y x"]], titles: list[str], *, font_px: int
) -> UInt8[NDArray[np.uint8], "h w"]:
    """Panels of one size with their titles above, a white gap between them."""
    height, width = panels[0].shape
    gap = blank(height + 2 * font_px, font_px, white=True)
    columns: list[UInt8[NDArray[np.uint8], "_ _"]] = []
    for panel, title in zip(panels, titles, strict=True):
        columns += [gap, np.vstack([text_strip(title, width=width, font_px=font_px), panel])]
    return np.hstack([*columns, gap])


def _stack(rows: list[UInt8[NDArray[np.uint8], "_ _"]]) -> UInt8[NDArray[np.uint8], "h w"]:
    """Rows below each other, each filled up with white on the right."""
    width = max(row.shape[1] for row in rows)
    return np.vstack(
        [np.hstack([row, blank(row.shape[0], width - row.shape[1], white=True)]) for row in rows]
    )


def with_legend(
    picture: UInt8[NDArray[np.uint8], "y x"], scale: ColorScale, *, font_px: int | None = None
) -> UInt8[NDArray[np.uint8], "h w"]:
    """The picture with the legend below; a narrow one is filled up on the right, transparently."""
    height, width = picture.shape
    missing = max(0, NARROWEST_PX - width)
    picture = np.hstack([picture, blank(height, missing, white=False)])
    return np.vstack(
        [picture, legend_strip(scale, width=width + missing, font_px=font_px or _font_px(width))]
    )


def _font_px(width: int) -> int:
    """Letters that can still be read when a wide picture is shown on a screen."""
    return max(13, min(48, width // 70))


def _spacing(context: ViewContext, scale: int) -> str:
    """The pixel spacing in words, e.g. ", 17.5 m"; empty where no grid tells it."""
    meters = max(context.enhancement.scene.gsd_m) / scale
    return f", {meters:.4g} m" if math.isfinite(meters) else ""


def save_picture(
    path: Path, picture: UInt8[NDArray[np.uint8], "y x"], scale: ColorScale, *, colors: Colors, title: str
) -> None:
    """Write palette indices as PNG, with the ends of the colors in its text."""
    words = PngInfo()
    words.add_text("vmin_K", f"{scale.low_k:.3f}")
    words.add_text("vmax_K", f"{scale.high_k:.3f}")
    words.add_text("cmap", colors)
    words.add_text("Title", latin_line(title))
    image = Image.fromarray(picture)  # one byte a pixel; the palette makes it indices
    image.putpalette(palette_bytes(colors))
    image.save(path, transparency=0, pnginfo=words, compress_level=PNG_LEVEL)
