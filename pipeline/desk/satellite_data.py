"""The function that users of the original program call: one file in, kelvin and network out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import nn

from pipeline.archive.discover import discover
from pipeline.errors import UnusableInputError
from pipeline.process import process_scene
from pipeline.products.product_files import ProductFiles
from pipeline.products.store.zarr_store import open_store, temperature_name
from pipeline.settings_sources import load_settings
from pipeline.superres.prior.weights import Prior


def process_satellite_data(
    path: Path | str, **options: object
) -> tuple[Float32[NDArray[np.float32], "y x"], nn.Module | None]:
    """Sharpen one scene by the original recipe, and publish its product.

    Args:
        path: The file of the scene.
        options: The original's, by their names: `SR_FACTOR=8`, `NUM_ITERATIONS=500`, `OUTPUT_DIR="results"`;
            docs/original.md has them all.

    Returns:
        The product, (y, x) kelvin, NaN for no data; and the network that the scene taught, None where it
        taught none.

    Raises:
        SettingsError: If an option is unknown or cannot work.
        UnusableInputError: If the file is no scene that a reader knows, or there is no product of it.
    """
    told = [f"{name}={value}" for name, value in options.items()]
    always = (f"archive.root={path}", "archive.settle_s=0", "recipe.preset=original", "output.weights=true")
    settings = load_settings(assignments=[*always, *told])
    found = discover(settings.archive)
    if not found.scenes:
        reasons = [reason for _, reason in (*found.refused, *found.waiting)]
        raise UnusableInputError(reasons[0] if reasons else f"{path}: not a scene that a reader knows")
    record = process_scene(found.scenes[0], settings)
    if not record.product:
        raise UnusableInputError(f"{path}: {record.status}: {record.reason}")
    scale = settings.recipe.scale
    files = ProductFiles(settings.output.root / record.product, record.ref.scene_id, scale)
    with open_store(files.store) as store:
        kelvin = np.asarray(store[temperature_name(store)].values, dtype=np.float32)
    if not files.weights.exists():
        return kelvin, None
    return kelvin, Prior.load(files.weights.read_bytes(), own=True).network(scale)
