"""One place of a product: what was measured there, what was learned, and which scene pixels it leans on.

The network is the one that the product kept, or is made again as the record says (a prior is read, a training
done again), so the answer is about the very product.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import DamagedProductError, UnusableInputError
from pipeline.files import write_json
from pipeline.grid import Window
from pipeline.process import resolve_device
from pipeline.products.product_files import ProductFiles
from pipeline.products.records import read_provenance, read_record
from pipeline.products.store.zarr_store import open_store, temperature_name
from pipeline.recipe import Recipe
from pipeline.recipe_files import load_kernel, load_pretrained, load_prior, with_checked_files
from pipeline.scene import FLAG_MEANINGS, Scene
from pipeline.superres.applying.method import Picture
from pipeline.superres.bases.base import Base
from pipeline.superres.detail import Detail, compose_method, find_detail, fit_scene_base
from pipeline.superres.judging.attribution import Enlarge, attribute, box_feature, pixel_feature
from pipeline.superres.kept import detail_of_kept
from pipeline.superres.networks.device import one_thread
from pipeline.superres.prior.weights import Prior
from pipeline.superres.sensing.prepare import Prepared, prepare
from pipeline.text import one_line

Plane = Float32[NDArray[np.float32], "_ _"]

SEEN_PX = 128  # side of the scene's part whose pixels get a share
STEPS = 48


@dataclass(frozen=True)
class Explanation:
    """A place of a product.

    Attributes:
        facts: Temperatures in kelvin at the box, gain, flags, diffusion index; plain JSON.
        shares: Of every scene pixel in `seen`, in the attribution's unit.
        seen: The part of the scene, in its pixels.
        box: The place, in product pixels.
        scene: The part of the scene, kelvin.
        product: The box's surroundings in the product, kelvin, as wide as `seen`.
    """

    facts: Mapping[str, Any]
    shares: NDArray[np.float64]
    seen: Window
    box: Window
    scene: Plane
    product: Plane


def recorded_recipe(product: Path) -> tuple[Recipe, dict[str, Any]]:
    """The recipe that made a product, and all that its record says of how.

    Raises:
        DamagedProductError: If the record does not say it, or this version does not know its recipe.
        SettingsError: If the recipe's prior or kernel is not there, or changed.
    """
    made = read_provenance(product)
    try:
        recipe = Recipe.model_validate(made["recipe"])
    except ValueError as error:
        raise DamagedProductError(
            f"{product.name}: this version does not know its recipe: {one_line(error)}"
        ) from error
    return with_checked_files(recipe).resolved(), made


def explain(
    product: Path, scene: Scene, box: Window, *, pixel: tuple[int, int] | None = None, device: str = "auto"
) -> Explanation:
    """What a place of a product rests on.

    Args:
        product: Its folder.
        scene: What it was made of.
        box: The place, in product pixels.
        pixel: Row and column of one product pixel inside the box, whose temperature is explained; None
            explains the gradients inside the box.
        device: Where the network runs.

    Raises:
        DamagedProductError: If the record does not say how the product was made.
        UnusableInputError: If the scene is another one, or the box lies outside the product.
    """
    recipe, made = recorded_recipe(product)
    record = read_record(product)
    if scene.ref.digest != record.ref.digest:
        raise UnusableInputError(
            f"{scene.ref.scene_id}: the product was made of {record.ref.scene_id}, of other content"
        )
    prepared = prepare(scene, recipe, load_kernel(recipe))
    _check_place(box, pixel, prepared)
    where = resolve_device(device)
    base = fit_scene_base(prepared, recipe)
    files = ProductFiles(product, record.ref.scene_id, recipe.scale)
    detail = _network_of(files, prepared, recipe, base=base, device=where)
    gain = float(made["gain"])
    seen = seen_part(
        box, prepared.lr.shape, recipe.scale, 1 if detail.network is None else detail.network.lattice_px
    )
    with one_thread():
        answer = answer_of(base, detail, gain, prepared)
        found = attribute(
            prepared.lr[seen.slices], answer, _feature(box, pixel, seen, recipe.scale), steps=STEPS
        )
    parts = compose_method(prepared, recipe, base=base, detail=detail, device=where).parts(
        Picture.of(prepared.lr, prepared.valid), box_in_scene(box, recipe.scale, prepared.lr.shape)
    )
    facts = {
        "product": product.name,
        "recipe": recipe.label,
        "box": [box.column, box.row, box.column + box.width, box.row + box.height],
        "pixel": None if pixel is None else [pixel[1], pixel[0]],
        "explained": "gradients inside the box" if pixel is None else "temperature of the pixel",
        "diffusion_index": found.diffusion_index,
        "completeness_missing_fraction": found.missing_fraction,
        "gain": gain,
        "network": detail.facts.get("source", "none"),
        **_parts_at(box, parts, prepared, gain),
        **_published_at(files, box),
        "attribution_start_to_end": [found.start, found.end],
    }
    return Explanation(
        facts=facts,
        shares=found.shares,
        seen=seen,
        box=box,
        scene=prepared.scene.temperature[seen.slices],
        product=_temperature(files, seen.refine(recipe.scale)),
    )


def _network_of(
    files: ProductFiles, prepared: Prepared, recipe: Recipe, *, base: Base, device: torch.device
) -> Detail:
    """The network that the product kept; where it kept none, made again."""
    if not files.weights.exists():
        prior, pretrained = load_prior(recipe), load_pretrained(recipe)
        found = find_detail(prepared, recipe, base=base, device=device, prior=prior, pretrained=pretrained)
        again = {"source": f"taught again: {found.facts['source']}"} if found.trained else {}
        return dataclasses.replace(found, facts={**found.facts, **again})
    try:
        kept = Prior.load(files.weights.read_bytes(), own=True)
        detail = detail_of_kept(prepared, base, kept)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DamagedProductError(f"{files.folder.name}: {files.weights.name}: {one_line(error)}") from error
    assert detail.network is not None
    detail.network.to(device)
    return detail


def answer_of(base: Base, detail: Detail, gain: float, prepared: Prepared) -> Any:
    """(y, x) working units to the answer before the projection: base and gain times detail."""
    plain = dataclasses.replace(base, spots=None)  # hot spots are put back as they are: nothing to attribute
    if detail.network is None or gain == 0:
        return plain
    own, network, units = dataclasses.replace(detail.base, spots=None), detail.network, prepared.units
    network.eval()

    def enlarge(lr: Tensor) -> Tensor:
        taught_over = own(lr)
        unitless = ((picture - units.offset_k) / units.scale_k for picture in (lr, taught_over))
        coarse, fine = (picture[None, None].to(network.unit.device) for picture in unitless)
        added = units.scale_k * (network(coarse, fine) - fine)[0, 0].to(lr.device)
        published = plain(lr)
        return cast(Tensor, published + gain * (taught_over + added - published))

    return enlarge


def seen_part(box: Window, shape: tuple[int, ...], scale: int, lattice_px: int) -> Window:
    """A square of `SEEN_PX` scene pixels around a box, beginning where the network's windows do."""
    starts, sizes = [], []
    for first, length, size in ((box.row, box.height, shape[0]), (box.column, box.width, shape[1])):
        side = min(max(SEEN_PX, -(-length // scale) + 2), size)
        start = min(max((first + length // 2) // scale - side // 2, 0), size - side)
        aligned = start // lattice_px * lattice_px
        starts.append(aligned)
        sizes.append(min(side + start - aligned, size - aligned))
    return Window(*starts, *sizes)


def box_in_scene(box: Window, scale: int, shape: tuple[int, ...]) -> Window:
    """The scene pixels that a box of product pixels touches."""
    top, left = box.row // scale, box.column // scale
    bottom = min(-(-(box.row + box.height) // scale), shape[0])
    right = min(-(-(box.column + box.width) // scale), shape[1])
    return Window(top, left, bottom - top, right - left)


def write_explanation(explanation: Explanation, folder: Path) -> list[Path]:
    """`explanation.json` and `explanation.png`; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    plain, picture = folder / "explanation.json", folder / "explanation.png"
    write_json(plain, dict(explanation.facts))
    _draw(explanation, picture)
    return [plain, picture]


def _feature(box: Window, pixel: tuple[int, int] | None, seen: Window, scale: int) -> Enlarge:
    """What is explained, in pixels of the seen part's enlargement."""
    if pixel is None:
        return box_feature(box.within(seen.refine(scale)))
    return pixel_feature(pixel[0] - seen.row * scale, pixel[1] - seen.column * scale)


def _check_place(box: Window, pixel: tuple[int, int] | None, prepared: Prepared) -> None:
    height, width = (prepared.scale * size for size in prepared.lr.shape)
    inside = box.row >= 0 and box.column >= 0 and box.row + box.height <= height
    if not inside or box.column + box.width > width or min(box.height, box.width) < 2:
        raise UnusableInputError(
            f"--box: x0 y0 x1 y1 of at least 2 x 2 pixels inside the product's {width} x {height} are "
            f"wanted, found {box.column} {box.row} {box.column + box.width} {box.row + box.height}"
        )
    if pixel is not None:
        row, column = pixel[0] - box.row, pixel[1] - box.column
        if not (0 <= row < box.height and 0 <= column < box.width):
            raise UnusableInputError(f"--pixel: x y inside the box are wanted, found {pixel[1]} {pixel[0]}")


def _parts_at(box: Window, parts: Any, prepared: Prepared, gain: float) -> dict[str, float]:
    """Base and detail at the box, before the projection."""
    at = box.within(parts.outer.refine(prepared.scale))
    base, detail = (part[at.slices] for part in (parts.base, parts.detail))
    kelvin = prepared.domain.leave(base)
    added = prepared.domain.leave(base + np.float32(gain) * detail) - kelvin
    return {
        "base_mean_k": float(kelvin.mean()),
        "base_highest_k": float(kelvin.max()),
        "detail_at_full_gain_rms": float(np.sqrt(np.mean(detail.astype(np.float64) ** 2))),
        "learned_mean_k": float(added.mean()),
        "learned_largest_k": float(np.abs(added).max()),
    }


def _published_at(files: ProductFiles, box: Window) -> dict[str, Any]:
    """What the store holds at the box."""
    with open_store(files.store) as store:
        name = temperature_name(store)
        kelvin, sigma, flags = (
            np.asarray(store[variable].values[box.slices])
            for variable in (name, f"{name}_uncertainty", "quality_flag")
        )
    counted = {FLAG_MEANINGS[int(flag)]: int((flags == flag).sum()) for flag in np.unique(flags)}
    if not np.isfinite(kelvin).any():
        return {"flags": counted}
    return {
        "published_mean_k": float(np.nanmean(kelvin)),
        "published_highest_k": float(np.nanmax(kelvin)),
        "uncertainty_mean_k": float(np.nanmean(sigma)),
        "flags": counted,
    }


def _temperature(files: ProductFiles, window: Window) -> Plane:
    with open_store(files.store) as store:
        return np.asarray(store[temperature_name(store)].values[window.slices], dtype=np.float32)


def _draw(explanation: Explanation, path: Path) -> None:
    """The scene with its shares, the product's part, and the facts as text."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    scale = explanation.product.shape[0] / explanation.scene.shape[0]
    box = explanation.box.within(explanation.seen.refine(round(scale)))
    low, high = np.nanpercentile(explanation.scene, [1, 99])
    figure = Figure(figsize=(15, 5), layout="constrained")
    left, middle, right, words = figure.subplots(1, 4)
    left.imshow(explanation.scene, cmap="gray", vmin=low, vmax=high)
    largest = float(np.abs(explanation.shares).max()) or 1.0
    strength = np.abs(explanation.shares) / largest
    left.imshow(
        explanation.shares, cmap="coolwarm", vmin=-largest, vmax=largest, alpha=np.clip(3 * strength, 0, 0.9)
    )
    left.set_title("scene, and what each pixel contributes")
    middle.imshow(strength**0.5, cmap="magma")
    middle.set_title("contribution (square root)")
    right.imshow(explanation.product, cmap="turbo", vmin=low, vmax=high)
    right.set_title("product")
    for axis, part in ((left, scale), (middle, scale), (right, 1.0)):
        corner = (box.column / part - 0.5, box.row / part - 0.5)
        axis.add_patch(Rectangle(corner, box.width / part, box.height / part, fill=False, color="lime"))
        axis.set_axis_off()
    words.set_axis_off()
    lines = [
        f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}"
        for name, value in explanation.facts.items()
    ]
    words.text(0, 1, "\n".join(lines), va="top", fontsize=7, family="monospace", wrap=True)
    figure.savefig(path, dpi=110)
