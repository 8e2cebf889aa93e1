"""How many pixels scenes have, told by the heads of their files, for forecasts.

Files are looked at in one child process with limits of time and memory, so that no file can stop a plan. What
it says is a forecast's ground and nothing else: a scene is read, checked and refused elsewhere.
"""

from __future__ import annotations

import json
import logging
import resource
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.files import write_json
from pipeline.products.layout import scratch_root
from pipeline.scene import SceneRef

log = logging.getLogger(__name__)

PATIENCE_S = 120.0
MOST_BYTES = 2 << 30  # of the child's memory beyond its programs
_REMEMBERED = "sizes.json"


def scene_pixels(refs: Sequence[SceneRef], out: Path) -> dict[str, int]:
    """Pixels by scene_id, as far as the heads of the files tell within `PATIENCE_S`.

    Args:
        refs: Any scenes.
        out: Output root; where it exists, sizes are remembered below it.
    """
    path = scratch_root(out) / _REMEMBERED
    known = _remembered(path)
    new = {ref.digest: ref.files[0] for ref in refs if ref.digest not in known}
    if new:
        known |= _look(new)
        if out.is_dir():
            try:
                write_json(path, known)
            except OSError as error:  # a cache: the next plan looks again
                log.warning("sizes are not remembered: %s", error)
    return {ref.scene_id: known[ref.digest] for ref in refs if known.get(ref.digest)}


def _remembered(path: Path) -> dict[str, int]:
    try:
        return {str(digest): int(pixels) for digest, pixels in json.loads(path.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _look(files: Mapping[str, str]) -> dict[str, int]:
    """Pixels by digest; what the child said until it ended counts, however it ended."""
    child = subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    try:
        said, _ = child.communicate(json.dumps(list(files.items())), timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        said, _ = child.communicate()
    found = (line.split() for line in said.splitlines() if len(line.split()) == 2)
    return {digest: int(pixels) for digest, pixels in found if digest in files and pixels.isdecimal()}


def pixels_in(path: Path) -> int:
    """Pixels of the largest picture in a GeoTIFF, NPZ or NetCDF file; 0 where its head tells none."""
    if path.suffix.lower() == ".npz":
        return _npz_pixels(path)
    import rasterio

    with path.open("rb") as file:
        is_tiff = file.read(4)[:2] in (b"II", b"MM")
    if is_tiff:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with rasterio.open(path, driver="GTiff") as raster:
                return int(raster.width * raster.height)
    import netCDF4

    with netCDF4.Dataset(path) as data:
        groups = [data, *data.groups.values()]
        sizes = [each.shape[-2:] for group in groups for each in group.variables.values() if each.ndim >= 2]
    return max((int(height * width) for height, width in sizes), default=0)


def _npz_pixels(path: Path) -> int:
    from numpy.lib import format as npy

    most = 0
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist()[:64]:
            with archive.open(name) as member:
                version = npy.read_magic(member)
                read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
                shape = read(member)[0]
            if len(shape) >= 2:
                most = max(most, int(shape[-1] * shape[-2]))
    return most


def main() -> None:
    """The child: a JSON list of (digest, path) comes in, a line "digest pixels" goes out for each."""
    used = (
        int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        if sys.platform == "linux"
        else 0
    )
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_BYTES, used + MOST_BYTES))
    for digest, name in json.load(sys.stdin):
        path = Path(name)
        try:
            pixels = pixels_in(path) if path.is_file() else 0
        except (OSError, ValueError, RuntimeError, MemoryError, KeyError, EOFError, zipfile.BadZipFile):
            pixels = 0
        sys.stdout.write(f"{digest} {pixels}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
