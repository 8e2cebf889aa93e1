"""The radiometric contract: its 99th percentile is that of NumPy, and a limit that is broken is said."""

import numpy as np
import pytest
import torch

from pipeline.settings_sources import load_settings
from pipeline.superres.judging.contract import broken_contract, consistency_figures
from pipeline.superres.sensing.prepare import prepare
from tests.scenes import scene_of, truth_and_lr

CPU = torch.device("cpu")
KEPT = {"consistency_bias_k": -0.009, "consistency_rmse_k": 0.09, "consistency_p99_k": 0.29}


def test_the_figures_are_those_of_numpy_over_all_tiles():
    truth, lr = truth_and_lr(600, 2, nedt_k=0.1)  # two tiles a side
    recipe = load_settings(
        assignments=["recipe.scale=2", "recipe.degrade.psf_sigma_px=0.4"], environment={}
    ).recipe
    prepared = prepare(scene_of(lr), recipe.resolved())
    figures = consistency_figures(prepared, lambda window: truth[window.slices])
    residual = (prepared.degrade(truth) - lr).astype(np.float64)
    assert figures["consistency_rmse_k"] == pytest.approx(np.sqrt(np.mean(residual**2)), rel=1e-3)
    assert figures["consistency_bias_k"] == pytest.approx(residual.mean(), abs=1e-5)
    assert figures["consistency_p99_k"] == pytest.approx(np.percentile(np.abs(residual), 99), rel=0.01)
    assert figures["consistency_max_k"] == pytest.approx(np.abs(residual).max(), rel=1e-3)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("consistency_bias_k", -0.011, "bias -0.011 K, at most 0.01 K is wanted"),
        ("consistency_rmse_k", 0.11, "RMS 0.11 K, at most 0.1 K is wanted"),
        ("consistency_p99_k", 0.31, "99th percentile 0.31 K, at most 0.3 K is wanted"),
        ("consistency_rmse_k", float("nan"), "RMS nan K"),
    ],
)
def test_each_limit_is_said_where_it_is_broken(name, value, words):
    assert broken_contract(KEPT, 0.1) == ""
    assert words in broken_contract({**KEPT, name: value}, 0.1)


def test_without_noise_rounding_is_allowed_and_no_more():
    quiet = {"consistency_bias_k": 1e-4, "consistency_rmse_k": 1.9e-3, "consistency_p99_k": 5e-3}
    assert broken_contract(quiet, 0.0) == ""
    assert "RMS 0.0021 K" in broken_contract({**quiet, "consistency_rmse_k": 2.1e-3}, 0.0)
    assert broken_contract({}, 0.0) == ""
