"""What a product is made of, and by what: its manifest, and what is known only outside the science."""

from __future__ import annotations

import dataclasses
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from pipeline.archive.product_rules import rule_identity
from pipeline.errors import UnreadableInputError
from pipeline.files import digests_of
from pipeline.scene import Scene, SceneRef
from pipeline.settings import Settings


def make_manifest(ref: SceneRef, settings: Settings) -> dict[str, Any]:
    """What the product was made of; plain JSON.

    Raises:
        UnreadableInputError: A file was written to meanwhile: it is no longer what was read.
    """
    files = [Path(file) for file in ref.files]
    found, each = digests_of(files)
    if found != ref.digest:
        raise UnreadableInputError(
            f"{ref.scene_id}: its files changed while it was sharpened; the new content is a new scene"
        )
    inputs = [
        {"name": file.name, "size": file.stat().st_size, "sha256": digest}
        for file, digest in zip(files, each, strict=True)
    ]
    return {
        "content_digest": ref.digest,
        "rule": rule_identity(files[0], settings.archive),
        "recipe": settings.recipe.label,
        "recipe_digest": settings.recipe.digest,
        "inputs": inputs,
        "code_version": version("thermal-sr"),
    }


def outside_provenance(scene: Scene, device: torch.device, threads: int) -> dict[str, Any]:
    """What is known only outside the science: files, software, machine."""
    packages = ("thermal-sr", "torch", "numpy", "scipy", "xarray", "zarr", "rasterio", "netCDF4", "dask")
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else platform.processor() or platform.machine()
    )
    return {
        "inputs": [Path(file).name for file in scene.ref.files],
        "content_digest": scene.ref.digest,
        "reader": scene.ref.reader,
        "facts": dict(scene.facts),
        "assumptions": list(scene.assumptions),
        "sensor": dataclasses.asdict(scene.sensor),
        "software": {package: version(package) for package in packages}
        | {"python": platform.python_version()},
        "device": {"type": device.type, "name": name, "threads": threads},
    }
