"""The nouns that carry data between the three rooms.

They are frozen, check themselves at birth and say their units. Small ones are
plain enough to become JSON, because names and records cross processes; pixels do not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from pipeline.grid import Grid, Window

Quantity = Literal["brightness_temperature", "surface_temperature", "sea_surface_temperature"]
Status = Literal["done", "fell back", "skipped", "refused", "failed"]

# Flags of a published pixel, also the store's `flag_values`. One a pixel: the first that applies, top down.
FLAG_NO_DATA = 1
FLAG_OUT_OF_RANGE = 5
FLAG_ARTIFACT = 6
FLAG_EDGE = 4
FLAG_FALLBACK = 3
FLAG_FILLED_NEIGHBOR = 2
FLAG_GOOD = 0
FLAG_MEANINGS: Mapping[int, str] = {
    FLAG_GOOD: "good",
    FLAG_NO_DATA: "no_data",
    FLAG_FILLED_NEIGHBOR: "filled_neighbor",
    FLAG_FALLBACK: "fallback",
    FLAG_EDGE: "extrapolated_edge",
    FLAG_OUT_OF_RANGE: "outside_training_range",
    FLAG_ARTIFACT: "local_artifact",
}


@dataclass(frozen=True)
class SceneRef:
    """Names a scene without holding it: what crosses processes, tasks and jobs.

    Attributes:
        scene_id: Safe file name, the input's stem and eight hex digits of its content.
        reader: Name of the reader that claims it, a key of `READERS`.
        files: The main file first, then companions (a Landsat MTL).
        digest: sha256 over the files' contents, hex.
        acquired: UTC time of acquisition as ISO 8601 with Z, or None where nothing tells it.
    """

    scene_id: str
    reader: str
    files: tuple[str, ...]
    digest: str
    acquired: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, the inverse of `from_json`."""
        return {**dataclasses.asdict(self), "files": list(self.files)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> SceneRef:
        """The inverse of `to_json`."""
        return cls(**{**plain, "files": tuple(plain["files"])})


@dataclass(frozen=True)
class Sensor:
    """What blurs and disturbs the picture.

    Attributes:
        name: Platform and instrument, e.g. "Landsat 9 TIRS-2".
        native_gsd_m: Ground sample distance of the detector, in meters; NaN where unknown.
        psf_sigma_px: Gaussian sigma of the PSF, in native pixels; the detector's box comes on top.
        nedt_k: Noise-equivalent temperature difference at 300 K, in kelvin; NaN where unknown.
        wavelength_um: Center of the thermal band, in micrometers; NaN where temperature comes from several.
        source: The document these figures come from.
    """

    name: str
    native_gsd_m: float
    psf_sigma_px: float
    nedt_k: float
    wavelength_um: float
    source: str

    def __post_init__(self) -> None:
        if self.native_gsd_m <= 0:
            raise ValueError(f"{self.name}: native_gsd_m must be positive, got {self.native_gsd_m}")
        if not 0 <= self.psf_sigma_px <= 2:
            raise ValueError(f"{self.name}: psf_sigma_px must be within 0 and 2, got {self.psf_sigma_px}")
        if self.nedt_k < 0:
            raise ValueError(f"{self.name}: nedt_k must not be negative, got {self.nedt_k}")


@dataclass(frozen=True)
class Scene:
    """One acquisition, in kelvin, on its grid.

    Attributes:
        ref: Its name.
        sensor: What blurred it.
        quantity: Brightness temperature, land or sea surface temperature.
        grid: Where its pixels lie.
        temperature: (y, x) float32 kelvin, NaN for no data.
        gsd_m: Pixel spacing on the ground, in meters, as (y, x); NaN where no grid tells it.
        quantization_k: Step of the stored numbers, in kelvin; 0 for floating point.
        facts: Where each fact came from: {"units": "band tag", "crs": "GeoTIFF", ...}.
        assumptions: What had to be assumed, in words a person reads: ("units assumed: K",).
        edition: What the mission says of its file, as far as it does: day_or_night, source_level,
            source_collection, source_version.
    """

    ref: SceneRef
    sensor: Sensor
    quantity: Quantity
    grid: Grid
    temperature: NDArray[np.float32]
    gsd_m: tuple[float, float] = (float("nan"), float("nan"))
    quantization_k: float = 0.0
    facts: Mapping[str, str] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    edition: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.temperature.dtype != np.float32:
            raise TypeError(f"{self.ref.scene_id}: temperature must be float32, got {self.temperature.dtype}")
        if self.temperature.shape != self.grid.shape:
            raise ValueError(
                f"{self.ref.scene_id}: temperature is {self.temperature.shape} pixels, "
                f"its grid {self.grid.shape}"
            )

    @property
    def valid(self) -> Bool[NDArray[np.bool_], "y x"]:
        """(y, x), true where there is data."""
        return np.isfinite(self.temperature)

    @property
    def valid_fraction(self) -> float:
        """Share of pixels with data, 0 to 1."""
        return float(np.isfinite(self.temperature).mean())


@dataclass(frozen=True)
class Pixels:
    """A computed rectangle of the product; all three arrays are (y, x) on the fine grid.

    Attributes:
        temperature: float32 kelvin, NaN for no data.
        uncertainty: float32 kelvin, one standard error; NaN for no data.
        flag: uint8, a key of `FLAG_MEANINGS`.
        learned: float32 kelvin, the temperature minus what it would be without the network; NaN for no data,
            None where nobody asked.
    """

    temperature: NDArray[np.float32]
    uncertainty: NDArray[np.float32]
    flag: NDArray[np.uint8]
    learned: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Enhancement:
    """A sharpened scene whose pixels are computed on demand, rectangle by rectangle.

    Attributes:
        scene: What it was made from.
        scale: Linear enlargement.
        compute: Pure: a window of the *coarse* grid to the fine pixels it covers; the same pixels
            whatever the windows, so tiles may be of any size and in any order.
        provenance: How the pixels come to be; plain JSON.
        figures: What the method knows of its own answer (skill, gain, noise); units end the names.
        fallback: Why the network is off everywhere, or "" where it is used.
        check: Judges what was written: given a reader of windows of the *fine* grid in kelvin, how far the
            degraded product is from the scene; None where nobody can tell.
        tells_learned: Whether `compute` tells what the network added to each pixel.
        without_network: As `compute`, without the network everywhere; None where nothing else is known.
        weights: The network that this scene taught, as bytes of a prior's file; empty where it taught none.
    """

    scene: Scene
    scale: int
    compute: Callable[[Window], Pixels]
    provenance: Mapping[str, Any]
    figures: Mapping[str, float | str | None] = field(default_factory=dict)
    fallback: str = ""
    check: Callable[[Callable[[Window], NDArray[np.float32]]], Mapping[str, float]] | None = None
    without_network: Callable[[Window], Pixels] | None = None
    weights: bytes = b""
    tells_learned: bool = False

    @property
    def grid(self) -> Grid:
        """The scene's grid, refined."""
        return self.scene.grid.refine(self.scale)


@dataclass(frozen=True)
class Record:
    """How one scene ended: what the morning's reader looks at.

    Attributes:
        ref: The scene.
        status: done, fell back, skipped, refused or failed.
        reason: One line; empty only for "done".
        recipe: Name and digest of the recipe.
        product: Folder of the published product relative to the output root; empty where there is none.
        figures: Numbers by name, units at the end of the name.
        timings_s: Seconds by stage.
        assumptions: As in `Scene`.
        context: Digest of everything besides content and recipe that could change the outcome
            (archive settings, software version): a refusal counts only under the same context; empty
            where it counts under any.
        finished: UTC, ISO 8601 with Z.
        failures: How often in a row the scene failed, this time included; 0 where it did not.
    """

    ref: SceneRef
    status: Status
    reason: str
    recipe: str
    product: str = ""
    figures: Mapping[str, float | str | None] = field(default_factory=dict)
    timings_s: Mapping[str, float] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    context: str = ""
    finished: str = ""
    failures: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, the inverse of `from_json`."""
        plain = dataclasses.asdict(self)
        return {**plain, "ref": self.ref.to_json(), "assumptions": list(self.assumptions)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Record:
        """The inverse of `to_json`."""
        ref = SceneRef.from_json(plain["ref"])
        return cls(**{**plain, "ref": ref, "assumptions": tuple(plain["assumptions"])})
