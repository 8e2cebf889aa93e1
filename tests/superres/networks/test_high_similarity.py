"""The projection against a direct solution of its optimality conditions, its gradient against differences."""

import numpy as np
import pytest
import torch

from pipeline.superres.networks.high_similarity import HighSimilarityAttention, soft_threshold


def nearest_weights(scores):
    """(n,) weights >= 0 of sum 1 nearest to the scores, by bisection of their threshold in float64.

    Optimal are the weights max(score - threshold, 0) with the one threshold for which they sum to one.
    """
    low, high = scores.min() - 1.0, scores.max()
    for _ in range(200):
        threshold = (low + high) / 2
        low, high = (threshold, high) if np.maximum(scores - threshold, 0).sum() > 1 else (low, threshold)
    return np.maximum(scores - (low + high) / 2, 0)


def nearest_of_few(scores, topk):
    """The same with at most `topk` weights above zero: on the highest scores (Kyrillidis et al. 2013)."""
    weights, highest = np.zeros_like(scores), np.argsort(-scores)[:topk]
    weights[highest] = nearest_weights(scores[highest])
    return weights


def scores_of(seed, spread, count=40):
    return np.random.default_rng(seed).normal(0, spread, (3, 4, count))


@pytest.mark.parametrize("spread", [0.01, 0.3, 3.0, 100.0])
@pytest.mark.parametrize("topk", [1, 5, 40, 128])
def test_the_weights_are_the_nearest_ones(spread, topk):
    scores = scores_of(0, spread)
    weights = soft_threshold(torch.from_numpy(scores), topk).numpy()
    direct = np.apply_along_axis(nearest_of_few, -1, scores, topk)
    np.testing.assert_allclose(weights, direct, atol=1e-12)


def test_no_other_weights_are_nearer():
    generator = np.random.default_rng(3)
    scores = generator.normal(0, 0.5, 12)
    weights = soft_threshold(torch.from_numpy(scores), 12).numpy()
    own = ((weights - scores) ** 2).sum()
    others = generator.dirichlet(np.full(12, 0.3), size=20_000)
    assert (((others - scores) ** 2).sum(1) >= own).all()
    near = weights + 1e-3 * (others - weights)
    assert (((near - scores) ** 2).sum(1) >= own).all()


@pytest.mark.parametrize("topk", [6, 40])
def test_the_gradient_is_that_of_finite_differences(topk):
    scores = torch.from_numpy(scores_of(1, 0.4)[0]).requires_grad_()
    assert torch.autograd.gradcheck(lambda given: soft_threshold(given, topk), (scores,), eps=1e-7, atol=1e-6)


def test_what_is_not_similar_gets_nothing():
    weights = soft_threshold(torch.tensor([[5.0, 4.9, 1.0, -3.0]]), 4)
    torch.testing.assert_close(weights, torch.tensor([[0.55, 0.45, 0.0, 0.0]]))


def attention(window_px=0, shift_px=0, topk=128):
    torch.manual_seed(0)
    return HighSimilarityAttention(8, window_px=window_px, shift_px=shift_px, topk=topk, residual_scale=0.5)


def test_the_attention_is_what_its_formula_says():
    attend, features = attention(), torch.randn(2, 8, 5, 7)
    own, other, given = (part(features).flatten(2) for part in (attend.own, attend.other, attend.given))
    for n in range(2):
        scores = (own[n].T @ other[n]).detach().double().numpy()
        weights = np.apply_along_axis(nearest_of_few, -1, scores, 128)
        expected = features[n].flatten(1) + 0.5 * given[n] @ torch.from_numpy(weights).float().T
        torch.testing.assert_close(attend(features)[n].flatten(1), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shift_px", [0, 4])
def test_windows_are_compared_by_themselves(shift_px):
    attend, features = attention(8, shift_px), torch.randn(1, 8, 20, 13)
    whole, by_window = attention(), attend(features)
    whole.load_state_dict(attend.state_dict())
    end = min(16 - shift_px, 13)
    window = np.s_[..., 8 - shift_px : 16 - shift_px, 8 - shift_px : end]
    torch.testing.assert_close(by_window[window], whole(features[window]), atol=1e-5, rtol=1e-5)


def test_pixels_that_do_not_exist_are_not_compared():
    """A raster smaller than its window is the whole raster, not the raster amid zeros."""
    attend, features = attention(24), torch.randn(1, 8, 6, 9)
    whole = attention()
    whole.load_state_dict(attend.state_dict())
    torch.testing.assert_close(attend(features), whole(features))


def test_reduced_precision_compares_in_full():
    attend, features = attention(), torch.randn(1, 8, 6, 9)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        reduced = attend(features)
    torch.testing.assert_close(reduced.float(), attend(features), atol=0.05, rtol=0.05)
