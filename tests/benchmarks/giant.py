"""What a giant scene costs, stage by stage: process seconds, most memory, and where in the code that was.

    python -m tests.benchmarks.giant 1024 2048 [--scale 4] [--set recipe.preset=fast ...] [--work FOLDER]

Scenes of n x n pixels are made of a real scene's texture, with the corners of a swath and clouds as holes, on
a grid in UTM, and written as GeoTIFF. Each is sharpened by a process of its own, so that peaks are its own.
"Own" memory is without pages of files, which the system takes back when it needs them.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window as RasterWindow

from pipeline.archive.apart import end_reading
from pipeline.archive.discover import discover
from pipeline.process import process_scene
from pipeline.products.layout import published_folders, recipe_folder
from pipeline.raster import fill_nearest
from pipeline.settings_sources import load_settings
from pipeline.trials.simulate import synthetic_truth
from tests.benchmarks.scenes import SALTON_SEA, SCENES, band
from tests.benchmarks.stages import Watch

ROOT = Path(__file__).parents[2]
BAND_PX = 512
SLANT = 0.2  # columns by which a swath's edge moves with a row
CLOUDS_PER_MPX, CLOUD_PX = 12, (8, 60)


def texture() -> np.ndarray:
    """(y, x) kelvin of a real scene, or of a made one where there is none; no holes."""
    if SCENES.is_dir():
        return fill_nearest(band(SALTON_SEA)())
    return synthetic_truth(1024, np.random.default_rng(0)).astype(np.float32)


def write_scene(path: Path, side_px: int) -> None:
    """A GeoTIFF of side_px x side_px pixels, a band of rows at a time."""
    tile, generator = texture(), np.random.default_rng(side_px)
    clouds = generator.integers(0, side_px, (int(CLOUDS_PER_MPX * side_px**2 / 1e6), 2))
    radii = generator.integers(*CLOUD_PX, len(clouds))
    profile = {"driver": "GTiff", "height": side_px, "width": side_px, "count": 1, "dtype": "float32"}
    layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "DEFLATE", "nodata": np.nan}
    place = {"crs": "EPSG:32611", "transform": rasterio.Affine(70, 0, 5e5, 0, -70, 4e6)}
    columns = np.arange(side_px)
    with rasterio.open(path, "w", **profile, **layout, **place) as target:
        target.units = ("K",)
        for first in range(0, side_px, BAND_PX):
            rows = np.arange(first, min(first + BAND_PX, side_px))
            values = tile[np.ix_(_mirrored(rows, tile.shape[0]), _mirrored(columns, tile.shape[1]))]
            swath = SLANT * (side_px - rows[:, None])
            values[(columns < swath / 2) | (columns > side_px - SLANT * side_px / 2 + swath / 2)] = np.nan
            near = (clouds[:, 0] > rows[0] - CLOUD_PX[1]) & (clouds[:, 0] < rows[-1] + CLOUD_PX[1])
            for (row, column), radius in zip(clouds[near], radii[near], strict=True):
                left, right = max(column - radius, 0), column + radius + 1
                away = (rows[:, None] - row) ** 2 + (columns[None, left:right] - column) ** 2
                values[:, left:right][away <= radius**2] = np.nan
            target.write(values, 1, window=RasterWindow(0, first, side_px, len(rows)))


def _mirrored(position: np.ndarray, size: int) -> np.ndarray:
    position = position % (2 * size)
    return np.minimum(position, 2 * size - 1 - position)


def sharpen(scene: Path, out: Path, assignments: list[str]) -> dict[str, Any]:
    """What the stages of one scene took, in this process; printed as they end, too."""
    roots = [f"archive.root={scene}", f"output.root={out}", "archive.settle_s=0"]
    settings = load_settings(assignments=[*roots, *assignments], environment={})
    watch = Watch(tell=lambda row: print(row, file=sys.stderr, flush=True))
    record = process_scene(discover(settings.archive).scenes[0], settings, progress=watch)
    watch("end", 1.0)
    watch.stop.set()
    end_reading()
    of_reader = resource.getrusage(resource.RUSAGE_CHILDREN)
    product = published_folders(recipe_folder(out, settings.recipe.label))
    size = sum(file.stat().st_size for folder in product for file in folder.rglob("*") if file.is_file())
    return {
        "status": record.status,
        "reason": record.reason,
        "stages": watch.rows,
        "where": watch.where,
        "reader": [of_reader.ru_utime + of_reader.ru_stime, watch.reader / 2**20],
        "product_mib": size / 2**20,
    }


def measure(side_px: int, work: Path, scale: int, assignments: list[str]) -> dict[str, Any]:
    """One scene, made and sharpened by a process of its own."""
    scene = work / f"ECOSTRESS_LST_{side_px}.tif"
    if not scene.exists():
        write_scene(scene, side_px)
    with tempfile.TemporaryDirectory(dir=work) as out:
        words = [sys.executable, "-m", "tests.benchmarks.giant", "--child", str(scene), out]
        words += [word for each in (f"recipe.scale={scale}", *assignments) for word in ("--set", each)]
        done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        return dict(json.loads(done.stdout.splitlines()[-1]))


def table(side_px: int, scale: int, told: dict[str, Any]) -> str:
    """One scene's stages as Markdown."""
    megapixels = (side_px * scale) ** 2 / 1e6
    what = f"{megapixels:.1f} output megapixels, {told['status']} {told['reason']}".strip()
    lines = [
        f"\n{side_px} x {side_px} at x{scale}: {what}, {told['product_mib']:.0f} MiB\n",
        "| stage | s | process s | process s a megapixel | peak MiB | of it own | where |",
        "|---|---|---|---|---|---|---|",
    ]
    total = [0.0, 0.0]
    for stage, (wall_s, process_s, peak, own) in told["stages"].items():
        total = [total[0] + wall_s, total[1] + process_s]
        rate = process_s / megapixels
        where = told["where"].get(stage, "")
        lines.append(
            f"| {stage} | {wall_s:.1f} | {process_s:.1f} | {rate:.3f} | {peak:.0f} | {own:.0f} | {where} |"
        )
    peak, own = (max(row[column] for row in told["stages"].values()) for column in (2, 3))
    lines.append(
        f"| all | {total[0]:.1f} | {total[1]:.1f} | {total[1] / megapixels:.3f} | {peak:.0f} | {own:.0f} | |"
    )
    reader_s, reader_mib = told["reader"]
    lines.append(f"| process that reads | | {reader_s:.1f} | | {reader_mib:.0f} | | |")
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sides", type=int, nargs="*", default=[1024, 2048], metavar="PIXELS")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--work", type=Path, help="a folder that keeps the made scenes")
    parser.add_argument("--child", nargs=2, type=Path, metavar=("SCENE", "OUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(sharpen(*arguments.child, arguments.set)))
        return
    assignments = ["recipe.preset=fast", "run.device=cpu", *arguments.set]
    with tempfile.TemporaryDirectory(prefix="giant-") as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        for side_px in arguments.sides:
            told = measure(side_px, work, arguments.scale, assignments)
            print(table(side_px, arguments.scale, told), flush=True)


if __name__ == "__main__":
    main()
