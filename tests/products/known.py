"""Sharpened scenes whose every pixel is known: a smooth function of the place, no network."""

import threading
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from affine import Affine
from pyproj import CRS

from pipeline.files import write_json
from pipeline.grid import Grid, Window
from pipeline.output_settings import OutputSettings
from pipeline.products.catalog import write_item
from pipeline.products.layout import make_staging_folder, product_folder
from pipeline.products.product_files import ProductFiles
from pipeline.products.store.zarr_store import write_store
from pipeline.products.view_context import ViewContext
from pipeline.products.views.all_views import VIEWS
from pipeline.scene import Enhancement, Pixels, Record, Scene, SceneRef, Sensor

LABEL = "balanced-x4-0123abcd"
CREATED = "2026-01-02T03:04:05Z"
UTM = CRS.from_epsg(32633).to_wkt()
GEOGRAPHIC = CRS.from_epsg(4326).to_wkt()
SENSOR = Sensor("ECOSTRESS PHyTIR", 70.0, 0.5, 0.1, float("nan"), "test")
GRIDS = {
    "north up": (UTM, Affine(70, 0, 399960, 0, -70, 5300040)),
    "south up": (UTM, Affine(70, 0, 399960, 0, 70, 5100040)),
    "rotated": (UTM, Affine(60, 20, 399960, 15, -55, 5300040)),
    "geographic": (GEOGRAPHIC, Affine(1 / 1200, 0, -118.3, 0, -1 / 1200, 34.1)),
}


@dataclass
class Counted:
    """Computes a known function, NaN where the scene is, and counts how often each tile is asked for."""

    temperature: np.ndarray
    scale: int
    asked: Counter = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, window: Window) -> Pixels:
        with self.lock:
            self.asked[window] += 1
        return fine_pixels(self.temperature, self.scale, window)

    def __getstate__(self):
        return {"temperature": self.temperature, "scale": self.scale}

    def __setstate__(self, state):
        self.__init__(**state)


def fine_pixels(temperature, scale, window):
    fine = window.refine(scale)
    rows, columns = np.mgrid[fine.slices]
    missing = np.isnan(temperature[window.slices]).repeat(scale, 0).repeat(scale, 1)
    kelvin = field_k((rows + 0.5) / scale, (columns + 0.5) / scale)
    flag = np.where(rows % 7 == 0, 3, 0)
    return Pixels(
        np.where(missing, np.nan, kelvin).astype(np.float32),
        np.where(missing, np.nan, 0.1 + 0.01 * (columns % 5)).astype(np.float32),
        np.where(missing, 1, flag).astype(np.uint8),
    )


def field_k(row, column):
    return 300 + 5 * np.sin(row / 5) + 3 * np.cos(column / 7) + 0.02 * row


def make_enhancement(
    grid="north up",
    *,
    shape=(24, 20),
    scale=4,
    scene_id="demo-0123abcd",
    acquired="2024-07-28T20:40:25Z",
    holes=True,
):
    crs, transform = GRIDS[grid] if isinstance(grid, str) else grid
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    temperature = field_k(rows + 0.5, columns + 0.5).astype(np.float32)
    if holes:
        temperature[3:7, 5:9] = np.nan
    digest = scene_id[-8:] * 8
    ref = SceneRef(scene_id, "npz", (f"archive/{scene_id[:-9]}.npz",), digest, acquired)
    place = Grid(crs, transform, *shape)
    scene = Scene(ref, SENSOR, "surface_temperature", place, temperature, gsd_m=(70.0, 70.0))
    return Enhancement(scene, scale, Counted(temperature, scale), {"recipe": {"scale": scale}, "seed": 0})


def write_known(enhancement, path, **changed):
    options = {"chunk_px": 64, "compression": 3, "tile_px": 16, "workers": 2, "created": CREATED, **changed}
    return write_store(enhancement, path, **options)


def make_context(enhancement, folder, *, settings=None, **changed):
    """A store in `folder` and the context of its views."""
    files = ProductFiles(folder, enhancement.scene.ref.scene_id, enhancement.scale)
    summary = write_known(enhancement, files.store)
    known = {
        "created": CREATED,
        "tags": {"recipe": LABEL},
        "figures": {"gain": 0.5, "bias_k": 0.001},
        **changed,
    }
    return ViewContext(enhancement, files, settings or OutputSettings(), summary, **known)


def make_record(enhancement, final, out, **changed):
    return Record(
        ref=enhancement.scene.ref,
        status="done",
        reason="",
        recipe=LABEL,
        product=final.relative_to(out).as_posix(),
        figures={"gain": 0.5, "bias_k": -0.001},
        timings_s={"train": 1.5, "write": 0.25},
        finished=CREATED,
        **changed,
    )


def stage_product(out, enhancement=None, *, views=False):
    """A complete product that is not published yet: its staging folder and its final one."""
    enhancement = enhancement or make_enhancement()
    final = product_folder(out, LABEL, enhancement.scene.ref)
    staging = make_staging_folder(final)
    context = make_context(enhancement, staging)
    for view in VIEWS.values() if views else ():
        view(context.files.store, context)
    record = make_record(enhancement, final, out)
    write_json(context.files.record, {**record.to_json(), "provenance": {"seed": 0}})
    write_item(context, record)
    return staging, final


def manifest_of(enhancement=None):
    return {
        "content_digest": (enhancement or make_enhancement()).scene.ref.digest,
        "recipe": LABEL,
        "inputs": [],
    }
