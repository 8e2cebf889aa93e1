"""The one scene that `info` and `evaluate` are given."""

from __future__ import annotations

from pipeline.archive.apart import read_apart
from pipeline.archive.discover import discover
from pipeline.archive.names import looks_like_input
from pipeline.errors import SettingsError, SkippedSceneError, UnusableInputError
from pipeline.scene import Scene
from pipeline.settings import Settings


def read_only_scene(settings: Settings) -> Scene:
    """The scene in the file that `archive.root` names, however young the file is.

    Raises:
        SettingsError: The archive is a folder.
        UnusableInputError: The file is no scene, or a night would skip it.
    """
    path = settings.archive.root
    if path.is_dir():
        raise SettingsError(f"{path} is a folder; name one scene, or use `plan`")
    if not looks_like_input(path.name):
        advice = "`numpy.savez(file, temperature=array, units='K')` writes an NPZ"
        if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
            advice = "this is a picture, which has no kelvin; `thermal-sr picture FILE` enlarges one"
        raise UnusableInputError(
            f"{path.name}: GeoTIFF (.tif), NetCDF (.nc, .h5) and NPZ are read, told by the ends of names; "
            + advice
        )
    impatient = settings.archive.model_copy(update={"settle_s": 0.0, "since": None, "until": None})
    discovery = discover(impatient, {})
    if discovery.scenes:
        try:
            return read_apart(discovery.scenes[0], impatient)
        except SkippedSceneError as error:  # a night goes on without it; here there is nothing else
            raise UnusableInputError(str(error)) from error
    reasons = [reason for _, reason in [*discovery.refused, *discovery.waiting]]
    raise UnusableInputError(reasons[0] if reasons else f"{path.name}: not a scene that a reader knows")
