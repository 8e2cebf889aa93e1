"""Every setting, described once, where it is declared: what comes in, what goes out, how a night runs.

From these descriptions come validation and `thermal-sr settings` (a commented TOML file). One tree, split
by what a setting changes: what decides pixels is in `recipe`, whose digest names a product.
"""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.output_settings import OutputSettings
from pipeline.recipe import Recipe
from pipeline.recipe_settings import Branch


class ProductRule(Branch):
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
    valid_min_k: float | None = Field(None, description="Colder is no data; kelvin.")
    valid_max_k: float | None = Field(None, description="Hotter is no data; kelvin.")
    mask: tuple[str, str] | None = Field(
        None,
        description="GeoTIFF beside the scene's, or variable beside a NetCDF's, that says what is no data: a "
        'part of the scene\'s name, and what the mask\'s has in its place, e.g. ["_LST", "_QC"].',
    )
    mask_bits: tuple[Annotated[int, Field(ge=0, le=31)], ...] = Field(
        (), description="Bits of the mask, from 0, of which any means no data."
    )
    mask_values: tuple[int, ...] = Field((), description="Numbers of the mask that mean no data.")
    most_uncertain_k: float | None = Field(
        None,
        gt=0,
        description="Pixels that their product calls more uncertain are no data: Landsat's ST_QA, ECOSTRESS' "
        "LST_err, and in a NetCDF the variable that is named so; kelvin.",
    )
    crs: str | None = Field(
        None,
        description='Reference system, e.g. "EPSG:32633"; with transform or bounds where it has no place.',
    )
    bounds: tuple[float, float, float, float] | None = Field(
        None, description="Edges of the outer pixels: xmin, ymin, xmax, ymax; the first row is at ymax."
    )
    transform: tuple[float, float, float, float, float, float] | None = Field(
        None, description="Pixel corners to map: x = a column + b row + c, y = d column + e row + f."
    )
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

    @field_validator("bounds")
    @classmethod
    def _bounds_hold_pixels(
        cls, value: tuple[float, float, float, float] | None
    ) -> tuple[float, float, float, float] | None:
        if value is not None and not (value[0] < value[2] and value[1] < value[3]):
            raise ValueError("xmin, ymin, xmax, ymax are wanted, the lower ones first")
        return value

    @model_validator(mode="after")
    def _one_place(self) -> ProductRule:
        if self.bounds is not None and self.transform is not None:
            raise ValueError("transform and bounds say the same: give one of them")
        return self


class PlausibleSettings(Branch):
    """Which temperatures a scene can hold, lowest and highest in kelvin; hotter on land may be a fire."""

    surface_k: tuple[float, float] = Field((180.0, 360.0), description="Land and ice surface.")
    sea_k: tuple[float, float] = Field((268.0, 313.0), description="Sea surface.")
    brightness_k: tuple[float, float] = Field(
        (160.0, 370.0), description="Brightness temperature in the windows from 8 micrometers on."
    )
    water_vapor_k: tuple[float, float] = Field(
        (160.0, 310.0), description="Brightness temperature between 5.5 and 7.7 micrometers."
    )
    mid_infrared_k: tuple[float, float] = Field(
        (160.0, 450.0), description="Brightness temperature around 4 micrometers, where the sun adds."
    )
    most_outside_fraction: float = Field(
        0.2, ge=0, le=1, description="Scenes with a larger share of valid pixels outside are refused."
    )

    @field_validator("surface_k", "sea_k", "brightness_k", "water_vapor_k", "mid_infrared_k")
    @classmethod
    def _lowest_first(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] < value[1] < 2000:
            raise ValueError("the lowest and then the highest are wanted, between 0 and 2000 K")
        return value


class ArchiveSettings(Branch):
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
    read_s: float = Field(
        300.0, gt=0, description="A file whose reading takes longer counts as damaged; seconds."
    )
    read_memory_gb: float = Field(
        16.0,
        gt=0,
        description="Memory that reading a scene may take; small files may take less, see the documents.",
    )
    max_file_gb: float = Field(64.0, gt=0, description="Larger files are left out, and not even hashed.")
    since: str | None = Field(
        None, description="Take scenes acquired on or after this date (YYYY-MM-DD); undated scenes always."
    )
    until: str | None = Field(
        None, description="Take scenes acquired on or before this date (YYYY-MM-DD); undated scenes always."
    )
    plausible: PlausibleSettings = Field(
        default_factory=PlausibleSettings, description="Which temperatures a scene can hold."
    )
    products: tuple[ProductRule, ...] = Field(
        (), description="Rules for files that do not say what they hold, first match wins."
    )


class SlurmSettings(Branch):
    """What a night asks SLURM for, when scenes go to a pool."""

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


class RunSettings(Branch):
    """Where and how scenes run; nothing here changes a pixel on a CPU, but `tile_px` how it is rounded."""

    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description='"auto", "cpu", "cuda" or "cuda:1".'
    )
    workers: int = Field(1, ge=1, le=64, description="Scenes at a time on a machine without GPU.")
    threads: int = Field(
        0, ge=0, description="Threads of one computation; 0 shares the cores among the workers."
    )
    tiles_at_a_time: int = Field(
        2, ge=1, le=256, description="Tiles of a scene computed at a time, each with its threads."
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
    await_h: float = Field(
        12.0,
        ge=0,
        description="Hours that a scheduled night waits for the scenes that it handed out, to report how "
        "they ended; the next night reports what is open then. 0: it does not wait.",
    )
    retries: int = Field(2, ge=0, le=10, description="Further attempts when storage, not content, fails.")
    max_attempts: int = Field(5, ge=1, description="A scene whose run dies this often is recorded as failed.")
    give_up_after: int = Field(
        3,
        ge=0,
        description="A scene that fails in so many runs in a row is set aside until `redo`; 0: never.",
    )
    limit_s: float = Field(
        0.0,
        ge=0,
        description="Seconds that a scene may take; 0: ten times what is forecast for the night's longest, "
        "half an hour at least, once scenes of the recipe have run.",
    )
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
    budget_s: float = Field(
        0.0,
        ge=0,
        description="Seconds a night may take: no scene begins that would likely end later; 0: any.",
    )
    verify_share: str = Field(
        "",
        pattern=r"^(|[1-9]\d{0,4}/[1-9]\d{0,4})$",
        description='Share of all products that a night checks byte by byte first, "1/30": each once in 30 '
        "days; damaged ones are made again; empty: none.",
    )
    slurm: SlurmSettings = Field(default_factory=SlurmSettings, description="Workers that ingest asks for.")

    @model_validator(mode="after")
    def _shares_exist(self) -> RunSettings:
        for name, share in (("shard", self.shard), ("verify_share", self.verify_share)):
            part, _, parts = share.partition("/")
            if share and int(part) > int(parts):
                raise ValueError(f"{name} {share!r}: the first number must not be larger than the second")
        return self


class Settings(Branch):
    """The run: a TOML file, then the environment, then the command line."""

    archive: ArchiveSettings = Field(default_factory=ArchiveSettings, description="What comes in.")
    output: OutputSettings = Field(default_factory=OutputSettings, description="What goes out.")
    run: RunSettings = Field(default_factory=RunSettings, description="Where and how scenes run.")
    recipe: Recipe = Field(default_factory=Recipe, description="All that decides a product's pixels.")

    @property
    def context(self) -> str:
        """Digest of the archive's rules and of our version: what else decides whether a scene is taken."""
        plain = self.archive.model_dump(mode="json", exclude={"root", "settle_s", "since", "until"})
        plain["version"] = version("thermal-sr")  # a newer one may read what this one refuses
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:8]
