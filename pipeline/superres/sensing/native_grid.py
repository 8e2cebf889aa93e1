"""The grid that a sensor really sampled, where a scene was delivered on a finer one.

Landsat's thermal scenes have a pixel every 30 m, but a detector saw 100 m at a time: about nine pixels hold
what one detector measured. To enlarge such a scene is to sharpen the provider's interpolation. So the scene
can be averaged back to blocks of at most the sensor's distance, and the recipe's scale counts from there.

The surprise: averaging nine pixels does not make the noise three times smaller, because the pixels were
interpolated from the same few samples. The block's noise is again the detector's.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from pipeline.errors import UnusableInputError
from pipeline.raster import block_means
from pipeline.recipe_settings import DegradeSettings
from pipeline.scene import Scene, Sensor
from pipeline.superres.sensing.measured import Measured

LEAST_FACTOR = 2
WHOLE_TOLERANCE = 0.02  # a ratio of 1.99 counts as 2: sample distances are rounded
# Rings of the spectrum are 22 % apart: an estimate is the lower end of what it may mean.
SPECTRUM_TOLERANCE = 0.1
LARGEST_DETECTOR_BLOCKS = 1.5  # beyond, blocks are finer than the sensor, and undoing its square means noise
LEAST_BLOCK_SHARE = 0.5  # of a block's pixels must be measured


class Finer(NamedTuple):
    """How many times finer a grid is than its sensor, and how that is known.

    Attributes:
        ratio: Of the detector's sample distance to the grid's; 1 where nothing tells.
        by_table: Whether both distances are known in meters; else the spectrum was asked.
        why: The same in words.
    """

    ratio: float
    by_table: bool
    why: str

    @property
    def factor(self) -> int:
        """Whole pixels in a sample, rounded down.

        A block too small keeps some interpolation, one too large loses detail.
        """
        tolerance = WHOLE_TOLERANCE if self.by_table else SPECTRUM_TOLERANCE
        return max(math.floor(self.ratio * (1 + tolerance)), 1)


@dataclass(frozen=True)
class NativeGrid:
    """A scene on the grid that the recipe works from.

    Attributes:
        measured: The scene as it was delivered, or averaged.
        factor: Delivered pixels in one of these, along each axis; 1 as delivered.
        finer: Whether the delivered grid is finer than its sensor, or was said to be.
        facts: "native_factor", and "native_source": why, in words; plain JSON.
        sample_px: The sensor's sample distance in pixels of `measured`; 1 or more.
    """

    measured: Measured
    factor: int
    finer: bool
    facts: Mapping[str, float | str]
    sample_px: float = 1.0


def native_grid(measured: Measured, settings: DegradeSettings) -> NativeGrid:
    """The scene on the grid that `settings.native` asks for.

    Args:
        measured: The scene as it was delivered.
        settings: `native` "off" leaves the scene as it is, "auto" averages where the grid is recognized as
            finer than its sensor, a number averages blocks of so many pixels a side; `domain` tells in what.

    Raises:
        SkippedSceneError: If no block is valid.
        UnusableInputError: If the scene has no whole block.
    """
    finer = finer_than_sensor(measured)
    if settings.native == "off" or (settings.native == "auto" and finer.factor < LEAST_FACTOR):
        as_is: dict[str, float | str] = {"native_factor": 1.0, "native_source": _as_delivered(finer)}
        return NativeGrid(measured, 1, finer.factor >= LEAST_FACTOR, as_is, max(finer.ratio, 1.0))
    factor = finer.factor if settings.native == "auto" else settings.native
    asked = "" if settings.native == "auto" else " by recipe.degrade.native"
    averaged = average_scene(measured, factor)
    if finer.by_table and not measured.repeats_pixels:
        sensor = sensor_of_blocks(averaged.sensor, finer.ratio, factor)
        averaged = dataclasses.replace(averaged, sensor=sensor)
    source = f"averaged {factor} x {factor}{asked}: {finer.why}"
    facts: dict[str, float | str] = {"native_factor": float(factor), "native_source": source}
    return NativeGrid(Measured.of(averaged, settings), factor, True, facts, max(finer.ratio / factor, 1.0))


def finer_than_sensor(measured: Measured) -> Finer:
    """How much finer the scene's grid is than its sensor.

    The sensor table decides where it knows the sensor and the scene its spacing in meters (degrees and
    other units were converted by whoever read it); else the scene's spectrum.
    """
    scene = measured.scene
    native, spacing = scene.sensor.native_gsd_m, max(scene.gsd_m)
    if math.isfinite(native) and math.isfinite(spacing):
        why = f"{scene.sensor.name} samples every {native:.4g} m, this grid every {spacing:.4g} m"
        return Finer(native / spacing, True, f"{why} (sensor table)")
    ratio = measured.oversampling
    if not math.isfinite(ratio):
        return Finer(
            1.0, False, "neither the sensor table nor the spectrum tells the sensor's sample distance"
        )
    return Finer(ratio, False, f"the spectrum ends as on a grid {ratio:.1f} times finer than its sensor")


def average_scene(measured: Measured, factor: int) -> Scene:
    """The scene in blocks of factor x factor pixels, averaged as a detector would.

    The upper left corner stays; rows and columns at the other ends that fill no block are left out, so that
    no pixel claims ground that was not measured. A rounding step is averaged as noise is.

    Raises:
        UnusableInputError: If the scene has no whole block.
    """
    scene, domain = measured.scene, measured.domain
    if min(scene.grid.shape) < factor:
        raise UnusableInputError(
            f"{scene.ref.scene_id}: {scene.grid.height} x {scene.grid.width} pixels hold no block of "
            f"{factor} x {factor}; set recipe.degrade.native to off or a smaller number"
        )
    known = np.where(measured.valid, measured.lr, np.float32(np.nan))
    return dataclasses.replace(
        scene,
        temperature=domain.leave(average_blocks(known, factor)),
        grid=scene.grid.coarsen(factor),
        gsd_m=(scene.gsd_m[0] * factor, scene.gsd_m[1] * factor),
        quantization_k=scene.quantization_k / factor,
        facts={**scene.facts, "grid": f"averaged {factor} x {factor} in {domain.name}"},
    )


def sensor_of_blocks(sensor: Sensor, ratio: float, factor: int) -> Sensor:
    """The sensor as a block of an interpolated grid sees the ground.

    First the detector averages over its own square, then the block averages again what was interpolated;
    variances add. Cubic convolution has none of its own, other interpolations blur more: too narrow is safe.

    Args:
        sensor: Its figures in native pixels.
        ratio: Native sample distance in grid pixels.
        factor: Side of a block in grid pixels.
    """
    detector = min(ratio / factor, LARGEST_DETECTOR_BLOCKS)
    variance = (sensor.psf_sigma_px * detector) ** 2 + (detector**2 - 1 / factor**2) / 12
    return dataclasses.replace(
        sensor,
        native_gsd_m=sensor.native_gsd_m * factor / ratio,
        psf_sigma_px=round(math.sqrt(max(variance, 0.0)), 3),
        source=f"{sensor.source}; with the detector's square, of blocks of an interpolated grid",
    )


def average_blocks(
    values: Float32[NDArray[np.float32], "y x"], factor: int
) -> Float32[NDArray[np.float32], "coarse_y coarse_x"]:
    """(y, x) to (y // factor, x // factor): the mean of what is known in every block.

    NaN where less than half of a block is known.
    """
    return block_means(values, factor, least_valid=LEAST_BLOCK_SHARE * factor**2).astype(np.float32)


def _as_delivered(finer: Finer) -> str:
    if finer.factor < LEAST_FACTOR:
        return f"as delivered: {finer.why}"
    return (
        f"as delivered, though {finer.why}; the sensor's blur is counted in these pixels, "
        f"{finer.ratio:.1f} times too narrow, which is safe and leaves most of it in; "
        "recipe.degrade.native = auto averages"
    )
