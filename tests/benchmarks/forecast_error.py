"""How wrong the forecast of seconds is on real scenes of many sizes.

    python -m tests.benchmarks.forecast_error --preset fast --scale 2 >> tests/nights/recorded_nights.csv

Pieces of 100 to 900 pixels a side are cut from real scenes and run one after the other, as a night runs them.
Prints what every scene took, and how wrong the forecasts of the last 20 were, each from those before it: in
seconds, as a night's records hold them, and in process seconds, which other programs do not lengthen.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pipeline.nights.growth import error_fraction
from pipeline.nights.night import plan_night
from pipeline.process import process_scene
from pipeline.settings import Settings
from pipeline.settings_sources import load_settings
from tests.benchmarks.scenes import benchmark_scenes

LEAST_PX, MOST_PX = 100, 900
TRANSFORM = (100.0, 0.0, 500_000.0, 0.0, -100.0, 5_000_000.0)


def write_pieces(folder: Path, count: int) -> None:
    """Pieces of real scenes; seven tenths of their pixels have data at least."""
    draw = np.random.default_rng(0)
    whole = [kelvin for scene in benchmark_scenes() if min((kelvin := scene.load()).shape) >= LEAST_PX]
    while len(list(folder.iterdir())) < count:
        kelvin = whole[draw.integers(len(whole))]
        height, width = (
            min(int(np.exp(draw.uniform(np.log(LEAST_PX), np.log(MOST_PX)))), side) for side in kelvin.shape
        )
        top, left = (
            draw.integers(side - cut + 1) for side, cut in zip(kelvin.shape, (height, width), strict=True)
        )
        piece = kelvin[top : top + height, left : left + width]
        if np.isfinite(piece).mean() > 0.7:
            name = f"piece_{len(list(folder.iterdir())):02d}.npz"
            np.savez(folder / name, temperature=piece, units="K", crs="EPSG:32633", transform=TRANSFORM)


def run(settings: Settings) -> list[tuple[float, float, float, float]]:
    """Pixels, seconds, process seconds and bytes of every scene, in the order of their names."""
    rows = []
    for ref in sorted(plan_night(settings).todo, key=lambda ref: ref.files[0]):
        began_s = time.process_time()
        record = process_scene(ref, settings)
        busy_s = time.process_time() - began_s
        folder = settings.output.root / record.product
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        rows.append((record.figures["scene_pixels"], sum(record.timings_s.values()), busy_s, float(size)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--scale", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        archive, out = Path(folder) / "archive", Path(folder) / "out"
        archive.mkdir()
        write_pieces(archive, given.scenes)
        recipe = (f"recipe.preset={given.preset}", f"recipe.scale={given.scale}")
        places = (f"archive.root={str(archive)!r}", f"output.root={str(out)!r}")
        here = ("archive.settle_s=0", "run.device=cpu", "run.threads=1")
        rows = run(load_settings(None, [*recipe, *places, *here], environment={}))
    for pixels, seconds, busy_s, size in rows:
        print(f"{given.preset} x{given.scale},{pixels:.0f},{seconds:.2f},{busy_s:.2f},{size:.0f}")
    pixels, *found = (np.array(column)[::-1] for column in zip(*rows, strict=True))
    errors = [error_fraction(pixels, column) for column in found]
    print(
        f"error: {errors[0]:.1%} of the seconds, {errors[1]:.1%} of the process seconds, "
        f"{errors[2]:.1%} of the bytes",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
