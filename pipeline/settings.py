"""Every setting, described once, where it is declared.

From these descriptions come validation, `thermal-sr settings` (a commented TOML
file) and the README's reference. One tree, split by what a setting changes:
`recipe` holds all that changes a pixel and nothing else, so its digest names a product.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Scale = Literal[2, 4, 8, 16]
LARGEST_BLOCK_PX = 64


class _Branch(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class ProductRule(_Branch):
    """What a person says of files that do not say it themselves."""

    pattern: str = Field(
        description="Files this rule is for: a glob on the path below the archive root, where * stays within "
        "a folder and ** crosses folders; without a slash, on the file's name in any folder."
    )
    variable: str | None = Field(
        None, description="NetCDF variable, NPZ key or GeoTIFF band (number or name) of the temperature."
    )
    units: str | None = Field(None, description='Unit after scale and offset: "K", "degC", "degF".')
    scale: float | None = Field(None, description="Temperature = number * scale + offset; never 0.")
    offset: float | None = Field(None, description="See scale.")
    fill: float | None = Field(None, description="Stored number that means no data.")
    crs: str | None = Field(None, description='Reference system where the file has none, e.g. "EPSG:32633".')
    quantity: Literal["brightness_temperature", "surface_temperature", "sea_surface_temperature"] | None = (
        Field(None, description="What the temperature is of.")
    )
    sensor: str | None = Field(None, description="Key of the sensor table whose figures apply.")

    @field_validator("scale")
    @classmethod
    def _scale_decodes(cls, value: float | None) -> float | None:
        if value == 0:
            raise ValueError("a scale of 0 would make every pixel the offset")
        return value


class ArchiveSettings(_Branch):
    """What comes in."""

    root: Path = Field(Path(), description="Folder of scenes, searched recursively, or one file.")
    settle_s: float = Field(
        120.0, ge=0, description="Files younger than this many seconds are left for the next run."
    )
    strict: bool = Field(
        False, description="Refuse files without units instead of assuming kelvin for plausible floats."
    )
    allow_ungeoreferenced: bool = Field(
        True, description="Take scenes without a grid on the Earth; the product says so."
    )
    min_valid_fraction: float = Field(
        0.05, ge=0, le=1, description="Scenes with a smaller share of valid pixels are recorded as skipped."
    )
    max_pixels: int = Field(
        400_000_000, gt=0, description="Rasters with more pixels are refused before anything is read."
    )
    since: str | None = Field(
        None, description="Take scenes acquired on or after this date (YYYY-MM-DD); undated scenes always."
    )
    until: str | None = Field(
        None, description="Take scenes acquired on or before this date (YYYY-MM-DD); undated scenes always."
    )
    products: tuple[ProductRule, ...] = Field(
        (), description="Rules for files that do not say what they hold, first match wins."
    )


class OutputSettings(_Branch):
    """What goes out, and in which form; nothing here changes a pixel."""

    root: Path = Field(Path("out"), description="Folder of products.")
    chunk_px: int = Field(512, ge=64, le=4096, description="Side of a Zarr chunk, in product pixels.")
    compression: int = Field(3, ge=1, le=19, description="Zstandard level of the Zarr store and the GeoTIFF.")
    cog_compression: Literal["zstd", "deflate"] = Field(
        "zstd", description="GeoTIFF compression; deflate for readers without Zstandard."
    )
    overview_resampling: Literal["average", "bilinear", "nearest"] = Field(
        "average", description="GeoTIFF overviews; bilinear is three times faster, average the honest mean."
    )
    preview_max_px: int = Field(
        4096, ge=64, description="Pictures are 1:1 up to this long side, an overview beyond."
    )
    sharpened: bool = Field(
        False,
        description="Write an unsharp-masked extra variable `sharpened`; the temperature never is sharpened.",
    )
    institution: str = Field("", description="Who publishes the products; an attribute of the store.")


class SlurmSettings(_Branch):
    """What ingest asks SLURM for, when scenes go to a pool."""

    workers: int = Field(
        0,
        ge=0,
        le=1000,
        description="GPU workers at most, one a waiting scene; 0: you start them yourself.",
    )
    partition: str = Field("", description="Partition of the GPU nodes; empty: the cluster's default.")
    gres: str = Field("gpu:1", description="What one worker gets, in sbatch's words.")
    options: tuple[str, ...] = Field(
        (), description='Further sbatch options: ["--account=geo", "--time=04:00:00"].'
    )
    script: Path = Field(
        Path("deploy/slurm/gpu_worker.sbatch"),
        description="The worker's script; a relative path is below THERMAL_SR_HOME.",
    )


class RunSettings(_Branch):
    """Where and how scenes run; nothing here changes a pixel on a CPU."""

    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description='"auto", "cpu", "cuda" or "cuda:1".'
    )
    workers: int = Field(1, ge=1, le=64, description="Scenes at a time on a machine without GPU.")
    threads: int = Field(
        0,
        ge=0,
        description="Torch threads a scene, and tiles it computes at a time; 0 shares the cores among the "
        "workers and computes two tiles at a time.",
    )
    tile_px: int = Field(
        256, ge=16, description="Side of an inference tile in scene pixels, rounded up to whole chunks."
    )
    tiles: Literal["threads", "distributed"] = Field(
        "threads", description="Who computes the tiles of a scene: this process, or a dask cluster."
    )
    scheduler: str = Field(
        "", description='Address of the dask scheduler for tiles = "distributed"; empty starts SLURM jobs.'
    )
    dispatch: Literal["in_place", "pool", "array"] = Field(
        "in_place",
        description="Scenes run here, on the Prefect pool of GPU workers, or as shards of a SLURM array.",
    )
    retries: int = Field(2, ge=0, le=10, description="Further attempts when storage, not content, fails.")
    max_attempts: int = Field(5, ge=1, description="A scene whose run dies this often is recorded as failed.")
    checkpoint_s: float = Field(30.0, gt=0, description="Seconds between training checkpoints.")
    scratch: Path | None = Field(
        None, description="Folder of training checkpoints; beside the products by default."
    )
    deployment: str = Field(
        "scene/gpu", description="Prefect deployment that takes a scene when dispatch is pool."
    )
    shard: str = Field(
        "",
        pattern=r"^(|[1-9]\d{0,4}/[1-9]\d{0,4})$",
        description='"K/N": only the K-th of N equal shares of the archive, told by content; empty: all.',
    )
    slurm: SlurmSettings = Field(default_factory=SlurmSettings, description="Workers that ingest asks for.")

    @model_validator(mode="after")
    def _shard_exists(self) -> RunSettings:
        part, _, parts = self.shard.partition("/")
        if self.shard and int(part) > int(parts):
            raise ValueError(f"shard {self.shard!r}: the first number must not be larger than the second")
        return self


class NormalizeSettings(_Branch):
    """Kelvin to unitless and back; affine, invertible, never clipping (except in the recipe `seed`)."""

    method: Literal["percentile", "absolute"] = Field(
        "percentile", description="Bounds from the scene, or fixed kelvin."
    )
    low_percentile: float = Field(1.0, ge=0, lt=50, description="Maps to 0; over valid pixels.")
    high_percentile: float = Field(99.0, gt=50, le=100, description="Maps to 1; over valid pixels.")
    low_k: float = Field(200.0, gt=0, description="Maps to 0 with method absolute.")
    high_k: float = Field(320.0, gt=0, description="Maps to 1 with method absolute.")
    clip: bool = Field(False, description="Clip to 0-1, as seed 000 does; loses hot and cold spots.")

    @model_validator(mode="after")
    def _ordered(self) -> NormalizeSettings:
        if self.low_k >= self.high_k:
            raise ValueError(f"low_k must be below high_k, got {self.low_k} and {self.high_k}")
        return self


class DegradeSettings(_Branch):
    """The forward model: what the sensor sees of a finer scene. Unset figures come from the sensor table."""

    psf_sigma_px: float | None = Field(
        None,
        ge=0,
        le=2,
        description="Gaussian sigma of the PSF in scene (LR) pixels; the detector's box comes on top.",
    )
    mtf_nyquist: float | None = Field(
        None,
        gt=0,
        lt=0.637,
        description="The same said as contrast at Nyquist, detector's box (0.637) included.",
    )
    kernel: Path | None = Field(
        None, description="NPY file of a centered PSF on the fine grid (odd side), instead of a Gaussian."
    )
    kernel_sha256: str = Field("", description="Filled in: digest of the kernel's file.")
    nedt_k: float | None = Field(
        None, ge=0, description="Noise of the scene in kelvin; unset takes the larger of table and estimate."
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

    @field_validator("native", mode="before")
    @classmethod
    def _native_is_known(cls, value: object) -> object:
        whole = isinstance(value, int) and not isinstance(value, bool) and 2 <= value <= LARGEST_BLOCK_PX
        if value not in ("off", "auto") and not whole:
            raise ValueError(f'"off", "auto" or a whole number from 2 to {LARGEST_BLOCK_PX} is wanted')
        return value


class PairSettings(_Branch):
    """LR/HR training pairs cut from the scene itself."""

    model: Literal["sensor", "seed"] = Field(
        "sensor",
        description="How LR is made of HR: the sensor's forward model, or seed 000's random blur and noise.",
    )
    num_scales: int = Field(8, ge=1, le=99, description="Levels of the pyramid that HR patches are cut from.")
    smallest_scale: float = Field(
        0.5, gt=0.1, le=1, description="Size of the smallest level, relative to the scene."
    )
    crop_px: int | None = Field(
        None,
        ge=8,
        le=512,
        description="Side of an LR patch; unset: 24, and 64, 48, 32 for x4, x8, x16 of the seed.",
    )
    batch: int = Field(8, ge=1, le=256, description="Patches a step.")
    informative_fraction: float = Field(
        0.7, ge=0, le=1, description="Share of patches drawn by Laplacian variance."
    )
    flips: bool = Field(True, description="Random flips and quarter turns; off for asymmetric kernels.")
    photometric_probability: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Chance of a brightness and contrast change; a shift in kelvin, so off by default.",
    )
    photometric_range: tuple[float, float] = Field((0.9, 1.1), description="Factors of that change.")
    blur_sigma_px: tuple[float, float] = Field(
        (0.5, 2.0), description="Random blur of model seed, in HR pixels."
    )
    noise_sigma: tuple[float, float] = Field(
        (0.001, 0.01), description="Random noise of model seed, unitless."
    )
    noise_probability: float = Field(0.8, ge=0, le=1, description="Chance of that noise.")


class NetworkSettings(_Branch):
    """What is trained, and what it is added to."""

    name: str = Field("attention", description="Key of NETWORKS: attention, zssr, srcnn.")
    base: Literal["bicubic", "back_projected", "tikhonov"] = Field(
        "tikhonov",
        description="What the network adds detail to; with its last layer at zero it is exactly this.",
    )
    size: Literal["small", "standard", "seed"] | None = Field(
        "small", description="Sets the unset of the next fields: 32 channels x 2 blocks, 48 x 4, 64 x 8."
    )
    channels: int | None = Field(None, ge=8, le=512, description="Features of the body; a multiple of 8.")
    blocks: int | None = Field(None, ge=1, le=64, description="Residual blocks.")
    norm: Literal["none", "group"] | None = Field(
        None, description="GroupNorm(8) in the blocks makes a pixel depend on its whole tile."
    )
    channel_attention: bool = Field(True, description="Channel attention in the blocks.")
    spatial_attention: bool = Field(True, description="Spatial attention in the blocks.")
    attention_reduction: int = Field(8, ge=1, le=64, description="Squeeze of the channel attention.")
    attention_kernel_px: int = Field(7, ge=1, le=31, description="Kernel of the spatial attention; odd.")
    attention_every: int = Field(1, ge=1, le=16, description="Attention in every n-th block.")
    attention_window_px: int | None = Field(
        None,
        ge=0,
        le=255,
        description="Window of the channel attention's pooling; 0 pools the whole input, as the seed does.",
    )
    mean_window_px: int | None = Field(
        None,
        ge=0,
        le=63,
        description="The network sees the scene without its mean over this window (0: as is).",
    )
    base_input: bool | None = Field(None, description="The network sees the base beside the scene.")
    noise_input: bool = Field(False, description="The network is told the scene's noise.")
    upsampler: Literal["direct", "stages"] | None = Field(
        None, description="Unfold the detail in one step, or by doublings as seed 000 does."
    )


class TrainSettings(_Branch):
    """The training on the scene itself."""

    steps: int | None = Field(
        None, ge=0, le=1_000_000, description="Upper bound of steps; unset: by preset and scale."
    )
    optimizer: Literal["adamw", "adam"] = Field("adamw", description="Optimizer; betas 0.9 and 0.999.")
    learning_rate: float = Field(3e-3, gt=0, le=1, description="Peak learning rate.")
    min_learning_rate: float = Field(1e-6, ge=0, description="Where the schedule ends.")
    weight_decay: float = Field(1e-4, ge=0, description="Of AdamW.")
    schedule: Literal["one_cycle", "cosine", "step", "linear_fit"] = Field(
        "one_cycle", description="Learning rate over the steps."
    )
    gradient_clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    loss_l1_weight: float = Field(1.0, ge=0, description="Weight of the mean absolute error.")
    loss_l2_weight: float = Field(0.0, ge=0, description="Weight of the mean squared error.")
    loss_edge_weight: float = Field(
        0.0, ge=0, description="Weight of the Sobel edge loss (times 0.5, as in the seed)."
    )
    loss_hf_weight: float = Field(
        0.0, ge=0, description="Weight of the high-pass loss (times 0.3, as in the seed)."
    )
    ema_decay: float = Field(
        0.99, ge=0, lt=1, description="Exponential average of the weights; 0 uses the last ones."
    )
    mixed_precision: Literal["auto", "off", "bfloat16", "float16"] = Field(
        "auto",
        description="Of the network's body; head and sums stay float32. auto: float16 on a GPU, bfloat16 on "
        "a CPU that computes with it, else off.",
    )
    validate_every: int = Field(50, ge=1, description="Steps between validations on held-out patches.")
    patience_fraction: float = Field(
        0.5, gt=0, le=1, description="Stop after this share of the steps without gain."
    )
    improvement: float = Field(
        0.998, gt=0, le=1, description="A validation below this share of the best counts as gain."
    )
    explosion_loss: float = Field(
        10.0, gt=0, description="Three losses above it, or 20 medians, restore the last good weights."
    )


class InferSettings(_Branch):
    """How a trained network is applied."""

    mode: Literal["whole", "blend", "shifts", "blend_shifts"] = Field(
        "whole",
        description="Whole image by tiles, Gaussian-blended patches, randomly shifted patches, or both.",
    )
    self_ensemble: bool = Field(True, description="Mean over the eight flips and turns.")
    reduce: Literal["mean", "median", "trimmed"] = Field("mean", description="How passes become one answer.")
    patch_px: int | None = Field(
        None, ge=16, le=1024, description="Side of a patch; unset: 128, 96, 64 for x4, x8, x16."
    )
    context_px: int | None = Field(
        None,
        ge=0,
        le=1024,
        description="What a patch sees around itself; unset: the network's reach, then there are no seams.",
    )
    overlap_fraction: float = Field(0.25, ge=0, lt=0.9, description="Overlap of blended patches.")
    num_shift_passes: int = Field(6, ge=1, le=64, description="Passes of randomly shifted patches.")
    max_shift_ratio: float = Field(0.33, ge=0, le=1, description="Largest shift relative to a patch.")


class GateSettings(_Branch):
    """How far the network is trusted, and what the product promises."""

    enabled: bool = Field(True, description="Set the network's gain from the scene's own self-test.")
    project: bool = Field(
        True, description="Last step: make the degraded product equal the scene within its noise."
    )


class Recipe(_Branch):
    """Everything that changes a pixel, and nothing else."""

    preset: Literal["fast", "balanced", "quality", "seed"] = Field(
        "balanced", description="Sets the defaults of this branch; whatever is given explicitly wins."
    )
    scale: Scale = Field(4, description="Linear enlargement: 2, 4, 8; 16 is experimental.")
    seed: int = Field(0, ge=0, description="Of all randomness.")
    prior: str = Field(
        "shipped", description='"shipped", "none", or the path of a prior made by `thermal-sr learn`.'
    )
    prior_sha256: str = Field("", description="Filled in: digest of the prior's file.")
    normalize: NormalizeSettings = Field(default_factory=NormalizeSettings, description="Kelvin to unitless.")
    degrade: DegradeSettings = Field(default_factory=DegradeSettings, description="The forward model.")
    pairs: PairSettings = Field(default_factory=PairSettings, description="Training pairs.")
    network: NetworkSettings = Field(default_factory=NetworkSettings, description="The network.")
    train: TrainSettings = Field(default_factory=TrainSettings, description="The training.")
    infer: InferSettings = Field(default_factory=InferSettings, description="The application.")
    gate: GateSettings = Field(default_factory=GateSettings, description="The judgment.")

    @property
    def digest(self) -> str:
        """Eight hex digits that name this recipe; files count by their content, wherever they lie."""
        plain = self.resolved().model_dump(mode="json")
        if self.prior_sha256:
            del plain["prior"]
        if self.degrade.kernel_sha256:
            del plain["degrade"]["kernel"]
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def label(self) -> str:
        """Folder name of this recipe's products, e.g. "balanced-x4-1a2b3c4d"."""
        return f"{self.preset}-x{self.scale}-{self.digest}"

    def resolved(self) -> Recipe:
        """The recipe with every setting that depends on another one filled in."""
        size = NETWORK_SIZES[self.network.size or "small"]
        network = {
            name: getattr(self.network, name) if getattr(self.network, name) is not None else value
            for name, value in size.items()
        }
        crop_px = self.pairs.crop_px or (CROP_PX[self.scale] if self.pairs.model == "seed" else 24)
        patch_px = self.infer.patch_px or PATCH_PX[self.scale]
        steps = self.train.steps if self.train.steps is not None else STEPS[self.preset][self.scale]
        return self.model_copy(
            update={
                "network": self.network.model_copy(update=network),
                "pairs": self.pairs.model_copy(update={"crop_px": crop_px}),
                "infer": self.infer.model_copy(update={"patch_px": patch_px}),
                "train": self.train.model_copy(update={"steps": steps}),
            }
        )


NETWORK_SIZES: Mapping[str, Mapping[str, Any]] = {
    "small": {
        "channels": 32,
        "blocks": 2,
        "norm": "none",
        "attention_window_px": 7,
        "mean_window_px": 9,
        "base_input": True,
        "upsampler": "direct",
    },
    "standard": {
        "channels": 48,
        "blocks": 4,
        "norm": "none",
        "attention_window_px": 7,
        "mean_window_px": 9,
        "base_input": True,
        "upsampler": "direct",
    },
    "seed": {
        "channels": 64,
        "blocks": 8,
        "norm": "group",
        "attention_window_px": 0,
        "mean_window_px": 0,
        "base_input": False,
        "upsampler": "stages",
    },
}
# Seed 000 gives x4, x8, x16; x2 continues the row.
CROP_PX: Mapping[int, int] = {2: 64, 4: 64, 8: 48, 16: 32}
PATCH_PX: Mapping[int, int] = {2: 128, 4: 128, 8: 96, 16: 64}
# From x4 on a scene has few pairs of its own: 300 steps cost 2.8 % of RMSE against 100, ungated.
STEPS: Mapping[str, Mapping[int, int]] = {
    "fast": {2: 0, 4: 0, 8: 0, 16: 0},
    "balanced": {2: 300, 4: 100, 8: 100, 16: 100},
    "quality": {2: 600, 4: 150, 8: 150, 16: 150},
    "seed": {2: 15_000, 4: 15_000, 8: 20_000, 16: 25_000},
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "fast": {},
    "balanced": {},
    "quality": {"network": {"size": "standard"}},
    "seed": {
        "prior": "none",
        "normalize": {"method": "percentile"},
        "pairs": {"model": "seed", "batch": 1, "photometric_probability": 0.3},
        "network": {"base": "bicubic", "size": "seed"},
        "train": {
            "learning_rate": 5e-5,
            "schedule": "cosine",
            "loss_l1_weight": 0.6,
            "loss_edge_weight": 0.15,
            "loss_hf_weight": 0.25,
            "ema_decay": 0.0,
            "validate_every": 1000,
            "patience_fraction": 1.0,
        },
        "infer": {"mode": "shifts", "context_px": 0},
        "gate": {"enabled": False, "project": False},
    },
}


class Settings(_Branch):
    """The run: a TOML file, then the environment, then the command line."""

    archive: ArchiveSettings = Field(default_factory=ArchiveSettings, description="What comes in.")
    output: OutputSettings = Field(default_factory=OutputSettings, description="What goes out.")
    run: RunSettings = Field(default_factory=RunSettings, description="Where and how scenes run.")
    recipe: Recipe = Field(default_factory=Recipe, description="All that changes a pixel.")

    @property
    def context(self) -> str:
        """Digest of the archive's rules and of our version: what else decides whether a scene is taken."""
        plain = self.archive.model_dump(mode="json", exclude={"root", "settle_s", "since", "until"})
        plain["version"] = version("thermal-sr")  # a newer one may read what this one refuses
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:8]
