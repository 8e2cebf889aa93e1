"""What every network costs in every size, for people and programs that choose one."""

from __future__ import annotations

from typing import Any, get_args

from pipeline.errors import SettingsError
from pipeline.recipe import ENLARGED_FIRST, Recipe, Scale
from pipeline.superres.networks import NETWORKS
from pipeline.superres.networks.measure import network_cost


def network_costs(scale: int) -> list[dict[str, Any]]:
    """One row a network and size, the smallest first; plain JSON.

    Raises:
        SettingsError: If the scale is none of a recipe's.
    """
    if scale not in get_args(Scale):
        raise SettingsError(f"--scale: one of {get_args(Scale)} is wanted, found {scale}")
    kinds: list[dict[str, Any]] = [
        {"name": name, "size": size} for name in NETWORKS for size in ("small", "standard", "original")
    ]
    kinds += [
        {"name": "attention", "size": "small", "attention": attention}
        for attention in ("window", "overlapping_window", "hspa", "none")
    ]
    return [_row(kind, scale) for kind in kinds if scale != 3 or kind["name"] in ENLARGED_FIRST]


def _row(kind: dict[str, Any], scale: int) -> dict[str, Any]:
    recipe = Recipe.model_validate({"scale": scale, "prior": "none", "network": kind}).resolved()
    crop_px, batch = recipe.pairs.crop_px or 24, recipe.pairs.batch
    cost = network_cost(recipe.network, scale)
    attention = kind.get("attention")
    return {
        "name": f"{kind['name']}, {attention}" if attention else kind["name"],
        "size": kind["size"],
        "parameters": cost.parameters,
        "reach_px": cost.reach_px,
        "operations_a_pixel": cost.flops_a_pixel,
        "training_mib": network_cost(recipe.network, scale, (crop_px, crop_px)).training_bytes(
            batch * crop_px**2
        )
        / 2**20,
    }
