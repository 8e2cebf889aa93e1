"""Every network learns from a made scene, and goes on after a kill as if nothing had been."""

import dataclasses

import numpy as np
import pytest
import torch

from pipeline.recipe_settings import PairSettings, TrainSettings
from pipeline.superres.networks import NETWORKS
from pipeline.superres.training.loop import train
from pipeline.superres.training.pairs import calibrate
from pipeline.superres.training.state import Checkpoint
from tests.superres.networks.made import make_network
from tests.superres.textures import smooth_noise
from tests.superres.training.made import pairs_of

SETTINGS = TrainSettings(steps=60, validate_every=20, patience_fraction=1.0, learning_rate=5e-3)
KINDS = {name: {"name": name} for name in NETWORKS} | {
    attention: {"name": "attention", "attention": attention}
    for attention in ("window", "overlapping_window", "hspa", "none")
}
SMALL = {"channels": 8, "blocks": 1, "layers": 2, "window_px": 8}

every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def pairs():
    held_out = np.zeros((64, 64), bool)
    held_out[:, 48:] = True
    return pairs_of(smooth_noise(64), held_out=held_out, settings=PairSettings(crop_px=16, batch=2))


def teach(kind, pairs, settings=SETTINGS, checkpoint=None):
    told = KINDS[kind]
    network = make_network(scale=2, **told, **SMALL)
    calibrate(network, pairs)
    return network, train(network, pairs, settings, seed=0, device=torch.device("cpu"), checkpoint=checkpoint)


@every_kind
def test_it_learns_what_bicubic_lacks(kind, pairs):
    _, report = teach(kind, pairs)
    assert report.best_validation < 0.95 * report.first_validation


@every_kind
def test_a_killed_training_ends_with_the_weights_of_an_undisturbed_one(kind, pairs):
    settings = SETTINGS.model_copy(update={"steps": 40})
    undisturbed, report = teach(kind, pairs, settings)
    kept = []

    def pull_the_plug(content):
        kept.append(content)
        raise KeyboardInterrupt

    shelf = Checkpoint(lambda: kept[-1] if kept else None, pull_the_plug, lambda: True, "r")
    with pytest.raises(KeyboardInterrupt):
        teach(kind, pairs, settings, shelf)
    resumed, again = teach(kind, pairs, settings, dataclasses.replace(shelf, write=kept.append))
    assert len(kept) == 2
    assert again == report
    assert all(
        torch.equal(one, other)
        for one, other in zip(resumed.parameters(), undisturbed.parameters(), strict=True)
    )
