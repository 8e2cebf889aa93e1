"""Between a prior and what a scene taught it: the share that fits, and never one that loses."""

import numpy as np
import pytest
import torch

from pipeline.network_settings import NetworkSettings
from pipeline.recipe import Recipe
from pipeline.superres.networks import build_network
from pipeline.superres.training.loop import validation_loss
from pipeline.superres.training.mixture import between, fitted_share, settle_between
from pipeline.superres.training.pairs import Batch

SETTINGS = Recipe(network=NetworkSettings(channels=8, blocks=1), prior="none").resolved().network


def networks():
    """A start, and one with another last layer: what it answers is linear in the share between them."""
    start, trained = build_network(SETTINGS, 2, seed=0), build_network(SETTINGS, 2, seed=0)
    last = trained.head[-2] if not hasattr(trained.head[-1], "weight") else trained.head[-1]
    with torch.no_grad():
        last.weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(1))
    return start, trained


def held_out(start, trained, share, noise, side=64):
    """A batch whose truth lies at this share, but for noise."""
    generator = torch.Generator().manual_seed(2)
    lr = torch.randn(1, 1, side, side, generator=generator)
    base = lr.repeat_interleave(2, -1).repeat_interleave(2, -2)
    first, second = (network(lr, base).detach() for network in (start, trained))
    truth = first + share * (second - first) + noise * torch.randn(first.shape, generator=generator)
    return Batch(lr, base, truth, torch.ones_like(truth), torch.zeros(1, 1, 1, 1))


def weights_of(network):
    return {name: weight.detach().clone() for name, weight in network.named_parameters()}


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_that_was_built_in_is_found(share):
    start, trained = networks()
    batch = held_out(start, trained, share, noise=0.01)
    found, error = fitted_share(trained, weights_of(start), weights_of(trained), [batch])
    assert abs(found - share) < 4 * error + 1e-4
    assert error < 0.05
    settled = settle_between(trained, start, [batch], usual=0.5)
    assert settled == pytest.approx(share, abs=0.05)


def test_pixels_that_say_little_leave_the_usual_share():
    start, trained = networks()
    batch = held_out(start, trained, 0.2, noise=30.0, side=32)
    _, error = fitted_share(trained, weights_of(start), weights_of(trained), [batch])
    assert error > 1
    assert settle_between(trained, start, [batch], usual=0.2) in (0.0, pytest.approx(0.2, abs=0.15))


def test_a_share_that_loses_on_held_out_pixels_is_not_taken():
    start, trained = networks()
    batch = held_out(start, trained, -1.0, noise=0.01)
    assert settle_between(trained, start, [batch], usual=1.0) == 0.0
    for ours, theirs in zip(trained.parameters(), start.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_weights_lie_between():
    start, trained = networks()
    before, after = weights_of(start), weights_of(trained)
    batch = held_out(start, trained, 0.4, noise=0.01)
    share = settle_between(trained, start, [batch], usual=0.5)
    for name, weight in trained.named_parameters():
        torch.testing.assert_close(weight.detach(), between(before, after, share)[name])
    losses = [validation_loss(trained, between(before, after, each), [batch]) for each in (0, share, 1)]
    assert np.argmin(losses) == 1


def test_without_anything_to_judge_the_trained_weights_stay():
    start, trained = networks()
    after = weights_of(trained)
    assert settle_between(trained, start, [], usual=0.5) == 1.0
    assert all(torch.equal(weight, after[name]) for name, weight in trained.named_parameters())
