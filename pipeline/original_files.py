"""The files that the original program wrote, under its names, beside a product's own.

Its names end in enlargement, learning rate and time: `enhanced_turbo_sr8_lr5.0e-05_20241203_143022.png`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap

from pipeline.grid import tile_windows
from pipeline.products.product_files import ProductFiles
from pipeline.products.store.zarr_store import open_store, temperature_name
from pipeline.scene import Enhancement
from pipeline.superres.prior.weights import Prior
from pipeline.times import from_iso

PIECE_PX = 2048


def write_original_files(
    enhancement: Enhancement, files: ProductFiles, *, learning_rate: float, created: str
) -> list[Path]:
    """Five pictures, two arrays in kelvin and, where the scene taught one, the network.

    Args:
        enhancement: The scene.
        files: The product's own; its store and its pictures are written already.
        learning_rate: Part of the names.
        created: UTC time of production, ISO 8601 with Z; part of the names.

    Returns:
        The files written. The network is one of torch's, for other programs; nothing here reads it.
    """
    ending = f"sr{files.scale}_lr{learning_rate:.1e}_{from_iso(created):%Y%m%d_%H%M%S}"
    pictures = (
        files.original_turbo,
        files.enhanced_turbo,
        files.original_gray,
        files.enhanced_gray,
        files.comparison,
    )
    written = [picture.with_name(f"{picture.stem}_{ending}.png") for picture in pictures]
    for picture, copy in zip(pictures, written, strict=True):
        shutil.copyfile(picture, copy)
    before, after = (files.folder / f"{name}_data_{ending}.npy" for name in ("original", "enhanced"))
    np.save(before, enhancement.scene.temperature)
    with open_store(files.store) as store:
        kelvin = store[temperature_name(store)]
        array = open_memmap(after, mode="w+", dtype=np.float32, shape=kelvin.shape)
        for window in tile_windows(enhancement.grid.shape, PIECE_PX):
            array[window.slices] = kelvin[window.slices].values
        array.flush()
    written += [before, after]
    if enhancement.weights:
        network = Prior.load(enhancement.weights, own=True).network(files.scale)
        written.append(files.folder / f"attention_zssr_{ending}.pth")
        torch.save(network.state_dict(), written[-1])
    return written
