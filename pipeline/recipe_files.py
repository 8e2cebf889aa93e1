"""The files that a recipe names: prior, kernel, weights of others. A folder is named by their content.

So each is read with the digest that the recipe states, at every load, also by a worker that was started
weeks ago: a file that changed meanwhile is refused, because label and digest would lie.

Torch is imported where weights are looked at, so that a night without new scenes does without it.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray
from safetensors import safe_open

from pipeline.errors import SettingsError
from pipeline.recipe import Recipe

if TYPE_CHECKING:
    from pipeline.superres.networks.pretrained import Pretrained
    from pipeline.superres.prior.weights import Prior


def prior_path(prior: str) -> Path:
    """Where a prior's weights lie: the one shipped with the package, or a user's file."""
    return Path(__file__).with_name("shipped_prior.safetensors") if prior == "shipped" else Path(prior)


def with_checked_files(recipe: Recipe) -> Recipe:
    """The recipe with the digests of the files that it names, which are there and fit it.

    Raises:
        SettingsError: A file cannot be read, holds something else, does not fit the scale, or is not the
            one whose digest the recipe states.
    """
    prior, kernel = _content(recipe, "prior"), _content(recipe, "kernel")
    if recipe.prior != "shipped":
        load_prior(recipe)
    elif prior is not None:  # its weights are ours, and are looked at when they are used
        _refuse_other_scale(recipe, _shipped_scales())
    load_kernel(recipe)
    load_pretrained(recipe)
    network = recipe.network.model_copy(update={"pretrained_sha256": _digest(_content(recipe, "pretrained"))})
    degrade = recipe.degrade.model_copy(update={"kernel_sha256": _digest(kernel)})
    return recipe.model_copy(update={"prior_sha256": _digest(prior), "degrade": degrade, "network": network})


def load_prior(recipe: Recipe) -> Prior | None:
    """What `recipe.prior` names; None where the recipe uses none.

    Raises:
        SettingsError: As `with_checked_files`.
    """
    if (kept := _content(recipe, "prior")) is None:
        return None
    from pipeline.superres.prior.weights import Prior

    try:
        prior = Prior.load(kept)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(
            f"setting recipe.prior: {recipe.prior!r} is no prior of ours: {reason}"
        ) from error
    _refuse_other_scale(recipe, prior.scales)
    return prior


def _shipped_scales() -> tuple[int, ...]:
    """The enlargements of the shipped prior, from its header alone."""
    with safe_open(prior_path("shipped"), framework="numpy") as kept:
        return tuple(sorted(map(int, json.loads(kept.metadata()["card"])["scales"])))


def _refuse_other_scale(recipe: Recipe, scales: tuple[int, ...]) -> None:
    if recipe.scale not in scales:
        known = ", ".join(f"x{scale}" for scale in scales)
        raise SettingsError(
            f"setting recipe.prior: {recipe.prior!r} has networks for {known}, and recipe.scale is "
            f'{recipe.scale}; set recipe.prior to "none" to learn from each scene alone'
        )


def load_kernel(recipe: Recipe) -> Float64[NDArray[np.float64], "y x"] | None:
    """What `recipe.degrade.kernel` names, on the fine grid; None where it names nothing.

    Raises:
        SettingsError: As `with_checked_files`.
    """
    if (kept := _content(recipe, "kernel")) is None:
        return None
    from pipeline.superres.sensing.degrade import Degrade

    try:
        kernel = np.asarray(np.load(io.BytesIO(kept), allow_pickle=False), dtype=np.float64)
        Degrade.from_kernel(recipe.scale, kernel)
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(f"setting recipe.degrade.kernel: {recipe.degrade.kernel}: {error}") from error
    return kernel


def load_pretrained(recipe: Recipe) -> Pretrained | None:
    """What `recipe.network.pretrained` names; None where it names nothing that is used.

    Raises:
        SettingsError: As `with_checked_files`.
    """
    if (kept := _content(recipe, "pretrained")) is None:
        return None
    from pipeline.superres.networks.pretrained import read_pretrained

    name = f"setting recipe.network.pretrained: {recipe.network.pretrained}"
    try:
        found = read_pretrained(kept)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from error
    if found.scale not in (None, recipe.scale):
        raise SettingsError(
            f"{name}: its {found.name} enlarges x{found.scale}, and recipe.scale is {recipe.scale}"
        )
    return found


def _content(recipe: Recipe, what: str) -> bytes | None:
    """The bytes of a file that the recipe names and uses, checked against the digest that it states."""
    detail, path = recipe.resolved().detail, None
    if what == "prior":
        used = recipe.prior != "none" and detail in ("prior", "trained")
        path = prior_path(recipe.prior) if used else None
        name, wanted, sha256 = "recipe.prior", '"shipped", "none" or an existing file', recipe.prior_sha256
    elif what == "pretrained":
        path = recipe.network.pretrained if detail == "pretrained" else None
        name, wanted = "recipe.network.pretrained", "an existing file of weights"
        sha256 = recipe.network.pretrained_sha256
    else:
        path, name, wanted = recipe.degrade.kernel, "recipe.degrade.kernel", "an existing NPY file"
        sha256 = recipe.degrade.kernel_sha256
    if path is None:
        return None
    try:
        kept = path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"setting {name}: {wanted} is wanted, found '{path}': {error.strerror}"
        ) from error
    if sha256 and _digest(kept) != sha256:
        raise SettingsError(
            f"setting {name}: '{path}' has changed: sha256 {sha256[:8]} stated, {_digest(kept)[:8]} found; "
            "put the file back, or say the settings again to make products of the new one"
        )
    return kept


def _digest(kept: bytes | None) -> str:
    return "" if kept is None else hashlib.sha256(kept).hexdigest()
