"""Every way to compute a picture from patches, with networks of small and of endless reach."""

from itertools import product

import pytest

from pipeline.recipe_settings import InferSettings
from tests.superres.upscalers import global_upscaler, small_upscaler

STRATEGIES = {
    f"{mode}-{'eight' if ensemble else 'one'}-context-{context}": InferSettings(
        mode=mode, self_ensemble=ensemble, patch_px=16, context_px=context, num_shift_passes=2
    )
    for mode, ensemble, context in product(
        ("whole", "blend", "shifts", "blend_shifts"), (False, True), (None, 0)
    )
}
NETWORKS = {"local": small_upscaler, "global": global_upscaler}
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES.keys())
every_network_and_strategy = pytest.mark.parametrize(
    ("network", "strategy"),
    [
        pytest.param(network, strategy, id=f"{name}-{how}")
        for (name, network), (how, strategy) in product(NETWORKS.items(), STRATEGIES.items())
        # Without a finite reach there is no context to take by default: the same strategy twice.
        if name == "local" or strategy.context_px == 0
    ],
)
