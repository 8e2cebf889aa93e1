"""Scenes that a small prior learns from in a second."""

import torch

from pipeline.network_settings import NetworkSettings
from pipeline.recipe import Recipe
from pipeline.recipe_settings import PairSettings, TrainSettings
from pipeline.superres.prior.prior_pairs import PriorScene, PriorTraining
from tests.superres.textures import smooth_noise

CPU = torch.device("cpu")
NETWORK = (
    Recipe(network=NetworkSettings(channels=8, blocks=1, spatial_attention=False, noise_input=True))
    .resolved()
    .network
)
SETTINGS = PriorTraining(
    network=NETWORK,
    training=TrainSettings(steps=40, patience_fraction=1.0),
    pairs=PairSettings(crop_px=12, batch=4),
)


def scene(seed, *, site="here", sensor="A", side=128, octave=0):
    temperature = 300 + 5 * smooth_noise(side, seed)
    return PriorScene(f"scene {seed}", site, sensor, f"{seed:064d}", temperature, 0.35, octave)
