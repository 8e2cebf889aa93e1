"""What may be set of a recipe, each setting with the condition under which it acts.

A setting without `when` always acts. One with it acts where the named setting has one of the values and
acts itself. What does not act is refused where somebody gives it, and is no part of a recipe's digest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

LARGEST_BLOCK_PX = 64


class Branch(BaseModel):
    """A group of settings: frozen, without unknown names, without infinities."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


@dataclass(frozen=True)
class When:
    """The condition under which a setting acts.

    Attributes:
        names: Settings below `recipe`, by dotted name; one of them must fulfil the condition.
        values: One of these is wanted; None is "unset".
        other: One of these is not wanted.
    """

    names: tuple[str, ...]
    values: tuple[Any, ...] = ()
    other: tuple[Any, ...] = ()

    def allows(self, value: object) -> bool:
        """Whether this value of a named setting fulfils the condition."""
        return value not in self.other if self.other else value in self.values

    def __str__(self) -> str:
        names = " or ".join(f"recipe.{name}" for name in self.names)
        values = " or ".join("unset" if value is None else json.dumps(value) for value in self.wanted)
        return f"{names} is {'not ' if self.other else ''}{values}"

    @property
    def wanted(self) -> tuple[Any, ...]:
        """The values that the condition speaks of."""
        return self.values or self.other


def when(name: str, *values: Any) -> When:
    """The setting acts where the named one has one of these values; of several names one will do."""
    return When(tuple(name.split(" or ")), values)


TRAINED = when("detail", "trained")
TAUGHT = when("detail", "prior", "trained")  # a network that was taught here, by this scene or others
NETWORK = when("detail", "prior", "trained", "pretrained")
FROM_PRIOR = When(("prior",), other=("none",))
ALONE = when("prior", "none")  # starting from a prior, the network is the prior's
PATCHES = When(("infer.mode",), other=("whole",))
HELD_OUT = When(("gate.enabled", "pairs.model"), (True, "original"))  # the original is judged without

# "seed" is another name of "original"; settings files that say it are valid.
FirstName = BeforeValidator(lambda value: "original" if value == "seed" else value)


class NormalizeSettings(Branch):
    """Kelvin to unitless and back, for networks that see the scene with its mean; affine and invertible."""

    method: Literal["percentile", "absolute"] = Field(
        "percentile", description="Bounds from the scene, or fixed kelvin."
    )
    low_percentile: Annotated[float, when("normalize.method", "percentile")] = Field(
        1.0, ge=0, lt=50, description="Maps to 0; over valid pixels."
    )
    high_percentile: Annotated[float, when("normalize.method", "percentile")] = Field(
        99.0, gt=50, le=100, description="Maps to 1; over valid pixels."
    )
    low_k: Annotated[float, when("normalize.method", "absolute")] = Field(
        200.0, gt=0, description="Maps to 0, in kelvin."
    )
    high_k: Annotated[float, when("normalize.method", "absolute")] = Field(
        320.0, gt=0, description="Maps to 1, in kelvin."
    )
    clip: bool = Field(False, description="Clip to 0-1; loses hot and cold spots.")

    @model_validator(mode="after")
    def _ordered(self) -> NormalizeSettings:
        if self.low_k >= self.high_k:
            raise ValueError(f"low_k must be below high_k, got {self.low_k} and {self.high_k}")
        return self


class DegradeSettings(Branch):
    """The forward model: what the sensor sees of a finer scene. Unset figures come from the sensor table."""

    psf_sigma_px: Annotated[float | None, when("degrade.kernel", None)] = Field(
        None,
        ge=0,
        le=2,
        description="Gaussian sigma of the PSF in scene (LR) pixels; the detector's box comes on top.",
    )
    mtf_nyquist: Annotated[float | None, when("degrade.psf_sigma_px", None)] = Field(
        None,
        gt=0,
        lt=0.637,
        description="The same said as contrast at Nyquist, detector's box (0.637) included.",
    )
    blur: Annotated[Literal["estimate"] | None, when("degrade.mtf_nyquist", None)] = Field(
        None,
        description="Estimate the PSF from the scene's own spectrum, the blur of a resampled grid included; "
        "for sensors that no table knows. Unset: from the sensor table.",
    )
    kernel: Path | None = Field(
        None, description="NPY file of a centered PSF on the fine grid (odd side), instead of a Gaussian."
    )
    kernel_sha256: str = Field("", description="Filled in: digest of the kernel's file.")
    nedt_k: float | None = Field(
        None,
        ge=0,
        description="Noise of the scene in kelvin; unset takes the sensor table, else an estimate.",
    )
    domain: Literal["auto", "radiance", "kelvin"] = Field(
        "auto",
        description="What the detector averages: radiance for a brightness temperature of known wavelength.",
    )
    # Off by default: whoever asks for x4 of a file counts on a grid four times as fine as the file's, and a
    # product is laid over its scene. That the scene holds less than its grid promises is said in the record.
    native: Literal["off", "auto"] | int = Field(
        "off",
        description="Average a grid finer than its sensor (Landsat's 30 m) to blocks of the sensor's size "
        'before all else: "auto" where it is recognized, or pixels a side; the scale counts from there.',
    )

    mend: Literal["damage"] | None = Field(
        None,
        description="Take interleaved scans, stripes and seams out before anything is enlarged: of two scans "
        "the smoother counts more, and the finest frequency goes; unset: pixels stay as they came.",
    )

    @field_validator("native", mode="before")
    @classmethod
    def _native_is_known(cls, value: object) -> object:
        whole = isinstance(value, int) and not isinstance(value, bool) and 2 <= value <= LARGEST_BLOCK_PX
        if value not in ("off", "auto") and not whole:
            raise ValueError(f'"off", "auto" or a whole number from 2 to {LARGEST_BLOCK_PX} is wanted')
        return value


class PairSettings(Branch):
    """LR/HR training pairs cut from the scene itself."""

    model: Annotated[Literal["sensor", "original"], FirstName] = Field(
        "sensor",
        description="How LR is made of HR: by the sensor's forward model, or by the original's random blur.",
    )
    num_scales: int = Field(8, ge=1, le=99, description="Levels of the pyramid that HR patches are cut from.")
    smallest_scale: float = Field(
        0.5, gt=0.1, le=1, description="Size of the smallest level, relative to the scene."
    )
    crop_px: int | None = Field(
        None,
        ge=8,
        le=512,
        description="Side of an LR patch; unset: 24, and 64, 48, 32 for x4, x8, x16 of the original.",
    )
    batch: int = Field(8, ge=1, le=256, description="Patches a step.")
    informative_fraction: float = Field(
        0.7, ge=0, le=1, description="Share of patches drawn by Laplacian variance."
    )
    flips: bool = Field(True, description="Random flips and quarter turns; off for asymmetric kernels.")
    gradual: Annotated[bool, when("scale", 4, 8, 16), ALONE, when("degrade.kernel", None)] = Field(
        False,
        description="Learn the smaller enlargements first: what each makes of the scene is a further, larger "
        "picture to learn the next one from.",
    )
    photometric_probability: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Chance of a brightness and contrast change; a shift in kelvin, so off by default.",
    )


class TrainSettings(Branch):
    """The training on the scene itself."""

    steps: int | None = Field(
        None, ge=1, le=1_000_000, description="Upper bound of steps; unset: by preset, start and scale."
    )
    learning_rate: float = Field(3e-3, gt=0, le=1, description="Peak learning rate.")
    min_learning_rate: float = Field(1e-6, ge=0, description="Where the schedule ends.")
    weight_decay: float = Field(1e-4, ge=0, description="Share of the rate by which weights shrink a step.")
    pull: Annotated[float, FROM_PRIOR] = Field(
        0.0, ge=0, description="Share of the rate by which weights go back to the prior's a step."
    )
    schedule: Literal["one_cycle", "cosine", "step", "linear_fit"] = Field(
        "one_cycle", description="Learning rate over the steps."
    )
    gradient_clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    loss_l1_weight: float = Field(1.0, ge=0, description="Weight of the mean absolute error.")
    loss_edge_weight: float = Field(0.0, ge=0, description="Weight of the Sobel edge loss (times 0.5).")
    loss_hf_weight: float = Field(0.0, ge=0, description="Weight of the high-pass loss (times 0.3).")
    loss_consistency_weight: float = Field(
        0.0,
        ge=0,
        description="Weight of the degraded answer's mean absolute distance from the scene, at the published "
        "scale. The projection takes care of it too.",
    )
    ema_decay: float = Field(
        0.99, ge=0, lt=1, description="Exponential average of the weights; 0 uses the last ones."
    )
    mixed_precision: Annotated[Literal["off", "bfloat16", "float16"], TAUGHT] = Field(
        "bfloat16",
        description="Numbers that the network's body computes with, on every machine; its last layer and all "
        "sums stay float32. off: float32 throughout.",
    )
    validate_every: Annotated[int, HELD_OUT] = Field(50, ge=1, description="Steps between validations.")
    patience_fraction: Annotated[float, HELD_OUT] = Field(
        0.5, gt=0, le=1, description="Stop after this share of the steps without gain."
    )
    explosion_loss: float = Field(
        10.0, gt=0, description="Three losses above it, or 20 medians, restore the last good weights."
    )

    @model_validator(mode="after")
    def _learns(self) -> TrainSettings:
        if not (self.loss_l1_weight or self.loss_edge_weight or self.loss_hf_weight):
            raise ValueError("every loss_*_weight is 0: nothing would be learned")
        if self.min_learning_rate > self.learning_rate:
            raise ValueError(
                f"min_learning_rate must not be above learning_rate, got {self.min_learning_rate:g} "
                f"and {self.learning_rate:g}"
            )
        return self


class InferSettings(Branch):
    """How a network is applied."""

    mode: Literal["whole", "blend", "shifts", "blend_shifts"] = Field(
        "whole",
        description="Whole image by tiles, Gaussian-blended patches, randomly shifted patches, or both.",
    )
    self_ensemble: bool = Field(True, description="Mean over the eight flips and turns.")
    reduce: Annotated[
        Literal["median", "trimmed"] | None,
        when("infer.self_ensemble or infer.mode", True, "shifts", "blend_shifts"),
    ] = Field(
        None,
        description="How the passes become one answer: their median, or the mean without the lowest and the "
        "highest quarter; unset: their mean.",
    )
    patch_px: Annotated[int | None, PATCHES] = Field(
        None, ge=16, le=1024, description="Side of a patch; unset: 128, 96, 64 for x4, x8, x16."
    )
    context_px: Annotated[int | None, PATCHES] = Field(
        None,
        ge=0,
        le=1024,
        description="What a patch sees around itself; unset: nothing. As far as the network looks, patches "
        "give the pixels of the whole.",
    )
    overlap_fraction: Annotated[float, when("infer.mode", "blend", "blend_shifts")] = Field(
        0.25, ge=0, lt=0.9, description="Overlap of blended patches."
    )
    num_shift_passes: Annotated[int, when("infer.mode", "shifts", "blend_shifts")] = Field(
        6, ge=1, le=64, description="Passes of randomly shifted patches."
    )
    max_shift_ratio: Annotated[float, when("infer.mode", "shifts", "blend_shifts")] = Field(
        0.33, ge=0, le=1, description="Largest shift relative to a patch."
    )


class GateSettings(Branch):
    """How far the network is trusted, and what the product promises."""

    enabled: Annotated[bool, NETWORK] = Field(
        True, description="Set the network's gain from the scene's own self-test."
    )
    project: bool = Field(
        True, description="Last step: make the degraded product equal the scene within its noise."
    )
