import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from pipeline.recipe_settings import TrainSettings
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.training.loop import train
from pipeline.superres.training.losses import consistency_loss, edge_loss, hf_loss, l1_loss, training_loss
from pipeline.superres.training.pairs import calibrate
from tests.superres.networks.made import make_network
from tests.superres.textures import smooth_noise
from tests.superres.training.made import pairs_of

ORIGINAL = TrainSettings(loss_l1_weight=0.6, loss_edge_weight=0.15, loss_hf_weight=0.25)


def picture(seed, shape=(2, 1, 9, 9)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_truth_has_no_loss():
    truth = picture(0)
    total, terms = training_loss(truth, truth, torch.ones_like(truth), ORIGINAL)
    assert float(total) == 0
    assert set(terms) == {"l1", "edge", "hf"}


@given(shift=st.floats(-5, 5))
def test_a_constant_error_is_no_error_of_edges_or_detail(shift):
    truth = picture(1)
    weight = torch.ones_like(truth)
    assert float(edge_loss(truth + shift, truth, weight)) == pytest.approx(0, abs=1e-5)
    assert float(hf_loss(torch.full_like(truth, shift), weight)) == pytest.approx(0, abs=1e-5)
    # Means over 162 float32 numbers: a few units in the seventh figure.
    constant = torch.full_like(truth, shift)
    assert float(l1_loss(constant, weight)) == pytest.approx(abs(shift), rel=2e-6, abs=1e-6)


def test_effective_weights_are_those_of_the_original():
    prediction, truth = picture(2), picture(3)
    total, terms = training_loss(prediction, truth, torch.ones_like(truth), ORIGINAL)
    expected = 0.6 * terms["l1"] + 0.075 * terms["edge"] + 0.075 * terms["hf"]
    assert float(total) == pytest.approx(float(expected), rel=1e-6)


def test_edges_are_sobel_gradients():
    prediction, truth = picture(4, (1, 1, 8, 8)), picture(5, (1, 1, 8, 8))
    expected = sum(
        np.abs(np.abs(ndimage.sobel(p, axis)) - np.abs(ndimage.sobel(t, axis)))[1:-1, 1:-1].mean()
        for p, t, axis in [(prediction[0, 0].numpy(), truth[0, 0].numpy(), axis) for axis in (0, 1)]
    )
    assert float(edge_loss(prediction, truth, torch.ones_like(truth))) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("settings", [ORIGINAL, TrainSettings()])
def test_pixels_of_no_weight_have_no_say(settings):
    prediction, truth = picture(6), picture(7)
    weight = torch.ones_like(truth)
    weight[:, :, 2:5, 3:6] = 0
    spoiled = torch.where(weight > 0, prediction, torch.tensor(1e6))
    plain, _ = training_loss(prediction, truth, weight, settings)
    assert float(training_loss(spoiled, truth, weight, settings)[0]) == pytest.approx(float(plain), rel=1e-6)


def test_nothing_to_learn_is_refused():
    with pytest.raises(ValueError, match=r"every loss_\*_weight is 0"):
        TrainSettings(loss_l1_weight=0.0)


def test_the_loss_by_consistency_is_the_distance_from_the_scene_where_no_border_is_seen():
    degrade = Degrade.gaussian(2, 0.4)
    fine = picture(8, (2, 1, 24, 24)).requires_grad_()
    seen = degrade(fine.detach())
    assert float(consistency_loss(fine.detach(), seen, degrade)) == pytest.approx(0, abs=1e-6)
    spoiled = seen.clone()
    spoiled[..., 0, :] += 100  # a border pixel, whose surroundings the patch does not have
    spoiled[..., 5, 6] += 3
    loss = consistency_loss(fine, spoiled, degrade)
    assert float(loss.detach()) == pytest.approx(3 / (12 - 2 * degrade.reach_px) ** 2, rel=1e-4)
    loss.backward()
    assert float(fine.grad.abs().sum()) > 0


def test_a_training_with_the_loss_by_consistency_sees_the_scene_itself():
    scene, degrade = smooth_noise(), Degrade.gaussian(2, 0.4)
    pairs = pairs_of(scene, with_scene=True)
    batch = pairs.batch(np.random.default_rng(3))
    assert (batch.scene.shape, batch.scene_base.shape) == ((4, 1, 16, 16), (4, 1, 32, 32))
    assert np.isin(batch.scene.numpy(), scene).all()
    plain, consistent = (
        train(
            fresh(pairs),
            pairs,
            TrainSettings(steps=20, loss_consistency_weight=weight),
            seed=0,
            device=torch.device("cpu"),
            degrade=degrade,
        ).curve[0]
        for weight in (0.0, 2.0)
    )
    assert consistent["consistency"] > 0
    assert plain["consistency"] != consistent["consistency"]
    assert plain["loss"] == pytest.approx(plain["l1"])
    assert consistent["loss"] == pytest.approx(consistent["l1"] + 2 * consistent["consistency"], rel=1e-4)


def fresh(pairs):
    network = make_network("srcnn", 2, channels=8)
    calibrate(network, pairs)
    return network
