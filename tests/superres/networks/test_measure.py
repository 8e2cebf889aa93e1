"""What a network costs, counted by hand where that can be done, and refused where it cannot fit."""

import pytest
import torch

from pipeline.errors import SettingsError, UnusableInputError
from pipeline.recipe import Recipe
from pipeline.superres.networks import NETWORKS, count_parameters
from pipeline.superres.networks.measure import network_cost, require_memory
from pipeline.trials.network_costs import network_costs
from tests.superres.networks.made import make_network

CPU = torch.device("cpu")


def resolved(scale=2, **network):
    return Recipe.model_validate({"scale": scale, "prior": "none", "network": network}).resolved()


def test_operations_are_those_of_the_papers_convolutions():
    """Two a weight and pixel: 9x9 to 64, 1x1 to 32, 5x5 to 1; the paper's network sees the scene as it is."""
    by_hand = 2 * (81 * 64 + 64 * 32 + 25 * 32)
    assert network_cost(resolved(name="srcnn", size="original").network, 2).flops_a_pixel == by_hand


def test_counts_are_those_of_the_network_itself():
    cost = network_cost(resolved(name="swinir").network, 2)
    network = make_network("swinir", 2)
    assert (cost.parameters, cost.reach_px) == (count_parameters(network), network.reach_px)


def test_every_network_in_every_size_has_a_row():
    rows = network_costs(2)
    named = {(row["name"], row["size"]) for row in rows}
    assert {(name, size) for name in NETWORKS for size in ("small", "standard", "original")} <= named
    assert "attention, hspa" in {row["name"] for row in rows}
    assert all(row["parameters"] > 0 and row["operations_a_pixel"] > 0 for row in rows)
    with pytest.raises(SettingsError, match=r"--scale: one of \(2, 3, 4, 8, 16\) is wanted, found 5"):
        network_costs(5)


def test_comparing_all_pixels_with_all_grows_with_the_square_of_their_number():
    settings = resolved(name="hspan", window_px=0).network
    little, large = (network_cost(settings, 2, (side, side)).largest for side in (64, 128))
    assert large == 16 * little == 128**4


def fits(recipe, shape=(512, 512)):
    crop_px, batch = recipe.pairs.crop_px, recipe.pairs.batch
    require_memory(recipe.network, recipe.scale, patch=(crop_px, batch), seen=shape, device=CPU)


def test_a_network_that_cannot_fit_is_refused_before_it_starts_and_tiles_are_offered():
    too_large = resolved(name="hspan", window_px=0)
    with pytest.raises(UnusableInputError, match=r"hspan looks at everything .* GiB for 2048 x 2048 .*blend"):
        fits(too_large, (2048, 2048))
    fits(too_large, (48, 48))
    fits(resolved(name="hspan"), (2048, 2048))  # by windows


def test_a_training_that_cannot_fit_is_refused():
    recipe = resolved(name="hat", size="original")
    recipe = recipe.model_copy(
        update={"pairs": recipe.pairs.model_copy(update={"batch": 256, "crop_px": 512})}
    )
    with pytest.raises(UnusableInputError, match=r"hat needs about .* 256 patches of 512 .*pairs\.batch"):
        fits(recipe)
