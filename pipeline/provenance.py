"""What a product is made of, and by what: its manifest, and what is known only outside the science."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import distribution, requires, version
from pathlib import Path
from typing import Any

import torch
from packaging.requirements import Requirement

from pipeline.archive.product_rules import rule_identity
from pipeline.errors import UnreadableInputError
from pipeline.files import digests_of
from pipeline.scene import Scene, SceneRef
from pipeline.settings import Settings
from pipeline.superres.networks.device import computes_bfloat16


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


def outside_provenance(
    scene: Scene, settings: Settings, device: torch.device, threads: int
) -> dict[str, Any]:
    """What is known only outside the science: files, settings, software, machine."""
    return {
        "inputs": [Path(file).name for file in scene.ref.files],
        "content_digest": scene.ref.digest,
        "reader": scene.ref.reader,
        "facts": dict(scene.facts),
        "assumptions": list(scene.assumptions),
        "sensor": dataclasses.asdict(scene.sensor),
        "settings": {
            "archive": settings.archive.model_dump(
                mode="json", exclude={"root", "settle_s", "since", "until"}
            ),
            "output": settings.output.model_dump(mode="json", exclude={"root", "guide", "metrics"}),
            "run": {"tile_px": settings.run.tile_px},
        },
        "software": software(),
        "device": {**described_device(device), "threads": threads},
    }


@cache
def software() -> dict[str, str]:
    """The version of our code, the commit it is of, and of every package that it needs."""
    needed = {Requirement(each).name for each in requires("thermal-sr") or () if "extra ==" not in each}
    return {
        "python": platform.python_version(),
        "thermal-sr": version("thermal-sr"),
        "commit": commit(),
        **{package: version(package) for package in sorted(needed)},
    }


def commit() -> str:
    """The commit of our code: what the installation or THERMAL_SR_COMMIT says, or git; "" where none does.

    " with changes" is added where files differ from the commit.
    """
    installed = json.loads(distribution("thermal-sr").read_text("direct_url.json") or "{}")
    if said := installed.get("vcs_info", {}).get("commit_id") or os.environ.get("THERMAL_SR_COMMIT"):
        return str(said)
    here = Path(__file__).parent
    try:
        found, changed = (
            subprocess.run(
                ["git", "-C", here, *words, "--", here],
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            ).stdout.strip()
            for words in (["log", "-1", "--format=%H"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.SubprocessError):  # no git, or a copy of the files
        return ""
    return f"{found} with changes" if changed else found


def described_device(device: torch.device) -> dict[str, str]:
    """What computes, as far as it decides how numbers are rounded."""
    cuda = device.type == "cuda"
    return {
        "type": device.type,
        "name": torch.cuda.get_device_name(device) if cuda else platform.processor() or platform.machine(),
        "instructions": "" if cuda else torch.backends.cpu.get_cpu_capability(),
        "bfloat16": "computed" if computes_bfloat16(device) else "rounded",
    }
