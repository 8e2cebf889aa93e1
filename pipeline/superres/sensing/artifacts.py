"""What real grids have that no sensor sees: interleaved scans, stripes, seams.

Each is found by its signature in the pixels, never by the sensor's name. On the ground, what lies farther
apart differs more. Where two scans were laid into one another, direct neighbors differ more than those a
pixel farther on: neither the ground nor white noise does that. What alternates, in proportion to how sure
the signature is, is told as local noise. Pixels are changed on request only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray
from scipy.ndimage import convolve1d, maximum_filter, uniform_filter, uniform_filter1d

from pipeline.grid import tile_windows
from pipeline.memory import copied, give_back

Plane = Float32[NDArray[np.float32], "y x"]
Mask = Bool[NDArray[np.bool_], "y x"]
Offset = tuple[int, int]

AROUND_PX = 7  # side of the window that a signature is looked for in
# Mean squared difference of farther pixels over that of direct neighbors. White noise has 1, the ground more;
# over 20 real scenes without interleaved scans below 0.6 in at most 1 of 200 pixels.
SUSPECT_RATIO, CERTAIN_RATIO = 0.6, 0.35
# Scans overlap in bands: near certain places less certain ones are believed.
SUSPECT_RATIO_NEAR, CERTAIN_RATIO_NEAR = 1.0, 0.7
NEAR_PX, NEAR_SHARE = 41, 0.02
LEAST_K = 0.1  # working kelvin; damage below it is left alone
SPOT_TIMES = 3.0  # the local mean of what alternates
TILE_PX = 2048  # of a scene no larger than its square the whole is looked through at once
LINE_PX = 129  # a stripe or a seam goes on for so long
LINE_CERTAINTY = 6.0  # standard errors of its mean
LINE_TEXTURE = 0.5  # of the standard deviation along it: a stripe hardly changes, a road does
STRIPE_SHARE = 0.5  # of a row's measured pixels; a road ends or bends
FINEST_OFF = (0.25, 0.5, 0.25)
CORRELATED_PX = 3.0  # along a line; so many pixels count as one


class Signature(NamedTuple):
    """How one kind of interleaving looks: pixel offsets within the other scan, and within the own one."""

    other: tuple[Offset, ...]
    own: tuple[Offset, ...]


INTERLEAVED = (
    Signature(((1, 0), (0, 1)), ((1, 1), (1, -1))),  # a checkerboard
    Signature(((1, 0),), ((2, 0),)),  # rows
    Signature(((0, 1),), ((0, 2),)),  # columns
)


@dataclass(frozen=True)
class Artifacts:
    """Local damage of a scene.

    Attributes:
        noise: (y, x) standard deviation that the damage adds around a pixel, in working units; 0 where
            nothing is wrong.
        shares: Kind of damage to its share of the measured pixels.
        mended: (y, x) working units: the scene with its damage taken out, as far as it goes, where that was
            asked for; else as it came.
    """

    noise: Plane
    shares: Mapping[str, float]
    mended: Plane

    @property
    def damaged(self) -> Mask:
        """(y, x), true where a pixel is not what the sensor saw."""
        return self.noise > 0

    def facts(self) -> dict[str, float]:
        """Share of measured pixels by kind of damage, and how much noise it is; empty without damage."""
        if not self.damaged.any():
            return {}
        shares = {f"artifact_{kind}_fraction": share for kind, share in self.shares.items()}
        noise_k = float(np.sqrt(np.mean(self.noise[self.damaged].astype(np.float64) ** 2)))
        return {**shares, "artifact_noise_k": noise_k}


def find_artifacts(lr: Plane, valid: Mask, *, step: float, mends: bool = False) -> Artifacts:
    """What is wrong with the pixels; a large scene is looked through in overlapping tiles.

    Args:
        lr: Working units, without holes.
        valid: True where measured.
        step: Of the stored numbers, in working units; 0 for floating point.
        mends: The damage is taken out, too.
    """
    if lr.size <= TILE_PX**2:
        return _find(lr, valid, step, mends=mends)
    noise, mended = np.broadcast_to(np.float32(0), lr.shape), lr
    shares: dict[str, float] = {}
    pixels = 0
    for window in tile_windows(lr.shape, _even_side(lr.shape)):
        outer = window.grow(LINE_PX, lr.shape)
        found = _find(lr[outer.slices], valid[outer.slices], step, mends=mends)
        inner = window.within(outer).slices
        measured = int(valid[outer.slices].sum())
        pixels += measured
        shares = {kind: shares.get(kind, 0) + share * measured for kind, share in found.shares.items()}
        if found.damaged[inner].any():
            noise = noise if noise.flags.writeable else copied(noise)
            noise[window.slices] = found.noise[inner]
            if mends:
                mended = copied(lr) if mended is lr else mended
                mended[window.slices] = found.mended[inner]
        give_back()
    return Artifacts(noise, {kind: share / max(pixels, 1) for kind, share in shares.items()}, mended)


def _even_side(shape: tuple[int, ...]) -> int:
    """Side of the tiles of a large scene, at most `TILE_PX` and none much smaller than another."""
    return max(-(-size // -(-size // TILE_PX)) for size in shape)


def _find(lr: Plane, valid: Mask, step: float, *, mends: bool) -> Artifacts:
    """What is wrong with the pixels of a scene, or of a tile of a large one."""
    least = max(LEAST_K, 2 * step)
    level = lr - np.float32(np.median(lr))
    picture, mended, found = level, lr, {"interleaved": np.zeros(lr.shape, dtype=np.bool_)}
    for signature in INTERLEAVED:
        part, where = _alternating(picture, signature, least)
        if mends:
            mended = mended - np.float32(2) * part * _rougher(picture, signature)
        picture, found["interleaved"] = picture - part, found["interleaved"] | where
    part = _stripes(picture, valid, least)
    picture, found["stripes"] = picture - part, part != 0
    jump = _seams(picture, valid, least)
    found["seams"] = jump > 0
    wrong = np.where(valid, level - picture, np.float32(0))
    power = uniform_filter(wrong**2, 3).clip(0) + (jump / 2) ** 2
    serious = valid & (power > least**2 / 4) & np.any(list(found.values()), axis=0)
    count = max(int(valid.sum()), 1)
    return Artifacts(
        np.where(serious, np.sqrt(power), np.float32(0)),
        {kind: float((mask & serious).sum() / count) for kind, mask in found.items()},
        np.where(serious, _smooth(mended), lr) if mends else lr,
    )


def _alternating(picture: Plane, signature: Signature, least: float) -> tuple[Plane, Mask]:
    """What differs from pixel to pixel because two scans alternate, and where the signature is found."""
    other = _difference2(picture, signature.other)
    own = _difference2(picture, signature.own)
    ratio = own / np.maximum(other, np.float32(1e-12))
    ratio[other - own < least**2] = 1
    share = np.clip((SUSPECT_RATIO - ratio) / (SUSPECT_RATIO - CERTAIN_RATIO), 0, 1)
    if not share.any():
        return np.zeros_like(picture), np.zeros(picture.shape, dtype=np.bool_)
    near = np.clip((SUSPECT_RATIO_NEAR - ratio) / (SUSPECT_RATIO_NEAR - CERTAIN_RATIO_NEAR), 0, 1)
    share = np.where(uniform_filter(share, NEAR_PX) > NEAR_SHARE, near, share)
    above_other = picture - _neighbors_mean(picture, signature.other)
    # Scans differ by much the same all around: what stands out by far more is a hot spot, and stays.
    usual = np.maximum(uniform_filter(np.abs(above_other), AROUND_PX), 0)
    above_other = np.clip(above_other, -SPOT_TIMES * usual, SPOT_TIMES * usual)
    return share * above_other / 2, share > 0


def _rougher(picture: Plane, signature: Signature) -> Plane:
    """Share by which a pixel is set to its neighbors of the other scan; 0.5 where both are as rough."""
    rows, columns = np.indices(picture.shape)
    step_y, step_x = np.sum(signature.other, axis=0)
    first = (step_y * rows + step_x * columns) % 2 == 0
    squares = _squares(picture, signature.own)
    power = [np.maximum(uniform_filter(squares * scan, AROUND_PX), 1e-6) ** 2 for scan in (first, ~first)]
    share: Plane = power[0] / (power[0] + power[1])
    return np.where(first, share, 1 - share)


def _smooth(picture: Plane) -> Plane:
    """What is left of a damaged place is not to be sharpened: without the finest frequencies."""
    for axis in (0, 1):
        picture = convolve1d(picture, FINEST_OFF, axis=axis, mode="reflect")
    return picture


def _difference2(picture: Plane, offsets: tuple[Offset, ...]) -> Plane:
    """Local mean of squared differences between pixels at these offsets.

    Holes are filled with the nearest pixel, so beside them direct neighbors are alike: no signature.
    """
    mean = np.maximum(uniform_filter(_squares(picture, offsets), AROUND_PX), 0) / len(offsets)
    return np.asarray(mean, dtype=np.float32)


def _squares(picture: Plane, offsets: tuple[Offset, ...]) -> Plane:
    """(y, x) sum of a pixel's squared differences from those at these offsets and their opposites."""
    total = np.zeros_like(picture)
    for offset in offsets:
        one, other = _pair(picture.shape, offset)
        squares = (picture[one] - picture[other]) ** 2
        total[one] += squares
        total[other] += squares
    return total


def _pair(shape: tuple[int, int], offset: Offset) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """All pixels that have one at this offset, and those."""
    ends = [
        (slice(max(-step, 0), size - max(step, 0)), slice(max(step, 0), size - max(-step, 0)))
        for step, size in zip(offset, shape, strict=True)
    ]
    return (ends[0][0], ends[1][0]), (ends[0][1], ends[1][1])


def _neighbors_mean(picture: Plane, offsets: tuple[Offset, ...]) -> Plane:
    """Mean of the pixels at these offsets, of two at most, and their opposites; the border is mirrored."""
    padded = np.pad(picture, 2, mode="symmetric")
    height, width = picture.shape
    parts = [
        padded[2 + sign * row : 2 + sign * row + height, 2 + sign * column : 2 + sign * column + width]
        for row, column in offsets
        for sign in (1, -1)
    ]
    return np.asarray(np.mean(parts, axis=0, dtype=np.float32), dtype=np.float32)


def _stripes(picture: Plane, valid: Mask, least: float) -> Plane:
    """The offset of rows and columns that stand out of both their neighbors all along."""
    rows = _stripe_rows(picture, valid, least)
    return rows + _stripe_rows((picture - rows).T, valid.T, least).T


def _stripe_rows(picture: Plane, valid: Mask, least: float) -> Plane:
    out = picture - _neighbors_mean(picture, ((1, 0),))
    mean, certain = _along(out, valid, least)
    # The neighbors of a stripe stand out by half of it to the other side: they are none.
    certain &= np.abs(mean) >= maximum_filter(np.abs(mean), (3, 1))
    whole = certain.sum(axis=1, keepdims=True) > STRIPE_SHARE * valid.sum(axis=1, keepdims=True)
    return np.where(certain & whole, mean, np.float32(0))


def _seams(picture: Plane, valid: Mask, least: float) -> Plane:
    """(y, x) size of the jump at pixels beside a straight line at which a picture ends."""
    return np.maximum(_seam_rows(picture, valid, least), _seam_rows(picture.T, valid.T, least).T)


def _seam_rows(picture: Plane, valid: Mask, least: float) -> Plane:
    step = np.zeros_like(picture)
    step[:-1] = picture[1:] - picture[:-1]
    mean, certain = _along(step - _neighbors_mean(step, ((1, 0),)), valid, 4 * least)
    size = np.where(certain & (np.abs(mean) >= maximum_filter(np.abs(mean), (3, 1))), np.abs(mean), 0)
    size[1:] = np.maximum(size[1:], size[:-1].copy())
    return size.astype(np.float32)


def _along(values: Plane, valid: Mask, least: float) -> tuple[Plane, Mask]:
    """Running mean along rows, and whether it is certain, hardly changing, and not small."""
    length = min(LINE_PX, values.shape[1])
    if length < LINE_PX // 2:
        return np.zeros_like(values), np.zeros(values.shape, dtype=np.bool_)
    known = valid.astype(np.float32)
    count = uniform_filter1d(known, length, axis=1)
    mean = uniform_filter1d(values * known, length, axis=1) / np.maximum(count, np.float32(1e-3))
    certain = (np.abs(mean) > least) & (count > 0.5)
    if certain.any():
        square = uniform_filter1d(values**2 * known, length, axis=1) / np.maximum(count, np.float32(1e-3))
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        surely = LINE_CERTAINTY * np.sqrt(CORRELATED_PX / length / np.maximum(count, np.float32(1e-3)))
        certain &= np.abs(mean) > np.maximum(surely, LINE_TEXTURE) * deviation
    return np.asarray(mean, dtype=np.float32), certain
