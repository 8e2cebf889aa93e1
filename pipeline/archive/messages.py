"""What the reading process is asked and what it answers: plain JSON, then raw pixels.

Whoever reads a stranger's file may be made to say anything. So nothing here unpickles: an
answer is a header that a schema checks, and as many bytes of float32 as it declares.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from affine import Affine
from jaxtyping import Float32
from numpy.typing import NDArray
from pydantic import TypeAdapter

from pipeline.errors import SettingsError, SkippedSceneError, UnreadableInputError, UnusableInputError
from pipeline.grid import Grid
from pipeline.scene import Quantity, Scene, SceneRef, Sensor
from pipeline.settings import ArchiveSettings
from pipeline.text import one_line

LONGEST_HEADER = 1 << 20  # bytes
Task = Literal["scene", "time", "pixels"]
Transform = tuple[float, float, float, float, float, float]

_ERRORS: Mapping[str, type[Exception]] = {
    kind.__name__: kind
    for kind in (UnusableInputError, SkippedSceneError, UnreadableInputError, SettingsError)
}


@dataclass(frozen=True)
class Request:
    """What is to be read.

    Attributes:
        task: The scene, or only when it was taken, or how many pixels its head tells.
        ref: Names it.
        settings: Of the archive.
    """

    task: Task
    ref: SceneRef
    settings: ArchiveSettings

    def to_bytes(self) -> bytes:
        """JSON in UTF-8."""
        plain = {"ref": self.ref.to_json(), "settings": self.settings.model_dump(mode="json")}
        return json.dumps({"task": self.task, **plain}).encode()

    @classmethod
    def from_bytes(cls, said: bytes) -> Request:
        """The inverse of `to_bytes`."""
        plain = json.loads(said)
        settings = ArchiveSettings.model_validate(plain["settings"])
        return cls(plain["task"], SceneRef.from_json(plain["ref"]), settings)


@dataclass(frozen=True)
class Answer:
    """The header of an answer; pixels follow where `shape` is not None.

    Attributes:
        error: Name of the error that the reading ended in, or "".
        message: What the error says.
        acquired: When the scene was taken, where only that was asked.
        pixels: How many it has, where only that was asked.
        shape: Rows and columns of the scene's pixels, float32 kelvin.
        sensor: As in `Scene`, like all that follow.
        quantity: See above.
        crs_wkt: Of the grid.
        transform: Of the grid.
        gsd_m: See above.
        quantization_k: See above.
        facts: See above.
        assumptions: See above.
        edition: See above.
    """

    error: str = ""
    message: str = ""
    acquired: str | None = None
    pixels: int = 0
    shape: tuple[int, int] | None = None
    sensor: Sensor | None = None
    quantity: Quantity = "surface_temperature"
    crs_wkt: str | None = None
    transform: Transform | None = None
    gsd_m: tuple[float, float] = (float("nan"), float("nan"))
    quantization_k: float = 0.0
    facts: Mapping[str, str] | None = None
    assumptions: tuple[str, ...] = ()
    edition: Mapping[str, str] | None = None

    @classmethod
    def of_scene(cls, scene: Scene) -> Answer:
        """All of a scene but its name and its pixels."""
        told = scene.grid.transform
        a, b, c, d, e, f = tuple(told)[:6] if told is not None else (0.0,) * 6
        return cls(
            shape=scene.grid.shape,
            sensor=scene.sensor,
            quantity=scene.quantity,
            crs_wkt=scene.grid.crs_wkt,
            transform=None if told is None else (float(a), float(b), float(c), float(d), float(e), float(f)),
            gsd_m=scene.gsd_m,
            quantization_k=scene.quantization_k,
            facts=dict(scene.facts),
            assumptions=scene.assumptions,
            edition=dict(scene.edition),
        )

    def to_bytes(self) -> bytes:
        """JSON in UTF-8."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, said: bytes | bytearray) -> Answer:
        """The inverse of `to_bytes`; ValueError where it is no answer."""
        return _ANSWER.validate_python(json.loads(bytes(said)))

    def raise_error(self) -> None:
        """Raises what the reading ended in, if it did."""
        if self.error:
            raise _ERRORS.get(self.error, UnusableInputError)(one_line(self.message))

    def scene(self, ref: SceneRef, temperature: Float32[NDArray[np.float32], "y x"]) -> Scene:
        """The scene of that name with these pixels; ValueError where the answer holds none."""
        if self.shape is None or self.sensor is None:
            raise ValueError("the answer holds no scene")
        transform = None if self.transform is None else Affine(*self.transform)
        return Scene(
            ref=ref,
            sensor=self.sensor,
            quantity=self.quantity,
            grid=Grid(self.crs_wkt, transform, *self.shape),
            temperature=temperature,
            gsd_m=self.gsd_m,
            quantization_k=self.quantization_k,
            facts={name: one_line(words) for name, words in (self.facts or {}).items()},
            assumptions=tuple(one_line(words) for words in self.assumptions),
            edition={name: one_line(words) for name, words in (self.edition or {}).items()},
        )


_ANSWER = TypeAdapter(Answer)
