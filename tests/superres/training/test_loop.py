import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.recipe_settings import PairSettings, TrainSettings
from pipeline.superres.training.loop import explosion, train
from pipeline.superres.training.pairs import calibrate
from pipeline.superres.training.schedule import learning_rate, ready_to_drop
from pipeline.superres.training.state import Checkpoint, TrainState, pack, unpack
from pipeline.superres.training.step import Step, adam
from tests.superres.networks.made import make_network
from tests.superres.textures import smooth_noise
from tests.superres.training.made import pairs_of

CPU = torch.device("cpu")
SETTINGS = TrainSettings(steps=60, validate_every=20, patience_fraction=1.0)


@pytest.fixture(scope="module")
def pairs():
    held_out = np.zeros((96, 96), bool)
    held_out[:, 64:] = True
    return pairs_of(smooth_noise(), held_out=held_out, settings=PairSettings(crop_px=16, batch=4))


def student(pairs):
    network = make_network("attention", 2, channels=8, blocks=1, attention_window_px=5)
    calibrate(network, pairs)
    return network


def teach(pairs, settings=SETTINGS, **extra):
    network = student(pairs)
    return network, train(network, pairs, settings, seed=0, device=CPU, **extra)


def same_weights(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_held_out_patches_come_out_better_than_the_base(pairs):
    _, report = teach(pairs)
    assert report.best_validation < 0.9 * report.first_validation
    assert report.best_step > 0


def test_the_report_tells_every_term_and_rate(pairs):
    _, report = teach(pairs, SETTINGS.model_copy(update={"loss_edge_weight": 0.1}))
    assert [entry["step"] for entry in report.curve] == [20, 40, 60]
    assert all({"loss", "l1", "edge", "learning_rate", "validation"} <= set(entry) for entry in report.curve)
    assert report.to_json()["steps"] == 60


def test_same_seed_same_weights(pairs):
    assert same_weights(teach(pairs)[0], teach(pairs)[0])


def test_no_steps_leave_the_base(pairs):
    network, report = teach(pairs, SETTINGS.model_copy(update={"steps": 0}))
    batch = pairs.validation[0]
    assert torch.equal(network(batch.lr, batch.base), batch.base)
    assert report.best_validation == report.first_validation


class Shelf:
    """A place for checkpoints in memory, that can pull the plug after so many of them."""

    def __init__(self, writes=math.inf):
        self.kept, self.left = None, writes

    def write(self, content):
        self.kept = content
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt

    def checkpoint(self, recipe="r"):
        return Checkpoint(lambda: self.kept, self.write, lambda: True, recipe)


@pytest.mark.parametrize("killed_after", [1, 2])
@pytest.mark.parametrize("schedule", ["one_cycle", "linear_fit"])
def test_a_killed_run_resumes_to_the_weights_of_an_undisturbed_one(pairs, killed_after, schedule):
    settings = SETTINGS.model_copy(update={"schedule": schedule})
    undisturbed, report = teach(pairs, settings)
    shelf = Shelf(killed_after)
    with pytest.raises(KeyboardInterrupt):
        teach(pairs, settings, checkpoint=shelf.checkpoint())
    resumed, again = teach(pairs, settings, checkpoint=shelf.checkpoint())
    assert same_weights(resumed, undisturbed)
    assert again == report


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda kept: kept[:-7], "damaged or no safetensors"),
        (lambda kept: kept[:-1] + bytes([kept[-1] ^ 1]), "do not match their digest"),
        (lambda kept: b"", "damaged or no safetensors"),
        (lambda kept: kept.replace(b"training state 2", b"training state 1"), "version"),
    ],
)
def test_a_spoiled_checkpoint_starts_the_training_anew(pairs, spoil, reason, caplog):
    shelf = Shelf(1)
    with pytest.raises(KeyboardInterrupt):
        teach(pairs, checkpoint=shelf.checkpoint())
    shelf.kept = spoil(shelf.kept)
    network, _ = teach(pairs, checkpoint=shelf.checkpoint())
    assert same_weights(network, teach(pairs)[0])
    assert reason in caplog.text


STATE = replace(TrainState.begin({"a": torch.ones(2)}), step=3, losses=(0.5,), curve=({"loss": 0.5},))


def same_state(one, other):
    return repr(one) == repr(other)


def test_a_state_survives_the_way_to_bytes_and_back():
    assert same_state(unpack(pack(STATE, "one"), "one"), STATE)


def test_no_flipped_bit_of_a_checkpoint_goes_unnoticed():
    kept = pack(STATE, "one")
    unnoticed = []
    for bit in range(8 * len(kept)):
        spoiled = bytearray(kept)
        spoiled[bit // 8] ^= 1 << bit % 8
        try:
            state = unpack(bytes(spoiled), "one")
        except ValueError:
            continue
        if not same_state(state, STATE):
            unnoticed.append(bit)
    assert not unnoticed


def test_a_checkpoint_of_another_recipe_is_refused():
    kept = pack(STATE, "one")
    assert unpack(kept, "one").step == 3
    with pytest.raises(ValueError, match="recipe 'other' is wanted, found 'one'"):
        unpack(kept, "other")


def test_losses_that_explode_twice_end_as_the_base_and_say_so(pairs):
    network, report = teach(pairs, SETTINGS.model_copy(update={"explosion_loss": 0.1}))
    assert report.failed
    assert report.restored == 2
    assert "three losses above 0.1" in report.stopped
    batch = pairs.validation[0]
    assert torch.equal(network(batch.lr, batch.base), batch.base)


def test_after_one_explosion_it_goes_on_from_the_last_good_weights_at_half_the_rate(pairs):
    class Once:
        validation = pairs.validation
        spoiled = False

        def batch(self, generator):
            drawn = pairs.batch(generator)
            if self.left == 0 and not self.spoiled:
                Once.spoiled = True
                return drawn._replace(truth=drawn.truth * float("nan"))
            self.left -= 1
            return drawn

        left = 25

    network = student(pairs)
    report = train(network, Once(), SETTINGS, seed=0, device=CPU)
    assert (report.restored, report.steps, report.stopped) == (1, 60, "")
    undisturbed = teach(pairs)[1]
    assert report.curve[0] == undisturbed.curve[0]
    for entry, plain in zip(report.curve[1:], undisturbed.curve[1:], strict=True):
        assert entry["learning_rate"] == pytest.approx(plain["learning_rate"] / 2)


def test_a_network_that_gains_nothing_is_stopped_early(pairs):
    settings = SETTINGS.model_copy(
        update={"steps": 400, "learning_rate": 1e-9, "min_learning_rate": 0.0, "patience_fraction": 0.1}
    )
    _, report = teach(pairs, settings)
    assert report.steps == 60
    assert report.stopped == "no gain on held-out patches for 60 steps"


def test_explosions_are_told_by_size_by_median_and_by_nan():
    assert explosion([1.0, math.nan], [], 10.0) == "a loss is not finite"
    assert explosion([11.0, 12.0, 13.0], [], 10.0) == "three losses above 10"
    assert explosion([11.0, 12.0, 1.0], [], 10.0) == ""
    assert explosion([3.0] * 3, [0.1] * 20, 10.0).startswith("three losses above 20 times the median 0.1")
    assert explosion([3.0] * 3, [0.1] * 19, 10.0) == ""


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "step"])
def test_schedules_reach_their_peak_and_end_low(schedule):
    settings = TrainSettings(steps=1000, learning_rate=1e-2, min_learning_rate=1e-6, schedule=schedule)
    rates = [learning_rate(settings, step) for step in range(1000)]
    assert max(rates) == pytest.approx(1e-2)
    assert rates[-1] <= 1e-3
    assert min(rates) >= 1e-6


def test_linear_fit_divides_by_ten_down_to_its_floor():
    settings = TrainSettings(steps=10, learning_rate=1e-3, min_learning_rate=9e-6, schedule="linear_fit")
    rates = [learning_rate(settings, 0, drops) for drops in range(4)]
    assert rates == pytest.approx([1e-3, 1e-4, 1e-5, 9e-6])


def test_linear_fit_drops_when_losses_scatter_more_than_they_fall():
    noise = np.random.default_rng(0).normal(0, 0.1, 300)
    falling, level = 10 - 0.5 * np.arange(300) + noise, 1 + noise
    assert not ready_to_drop(falling.tolist())
    assert ready_to_drop(level.tolist())
    assert not ready_to_drop(level[:299].tolist())
    assert not ready_to_drop(level[:240].tolist())


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_our_adam_is_torchs(weight_decay):
    draw = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(5, 4, generator=draw))
    reference = torch.optim.AdamW([weight], weight_decay=weight_decay)
    state = TrainState.begin({"w": weight})
    for step in range(5):
        rate = reference.param_groups[0]["lr"] = 1e-2 / (step + 1)
        weight.grad = torch.randn(5, 4, generator=draw)
        state = adam(state, {"w": weight.grad}, rate=rate, weight_decay=weight_decay)
        reference.step()
        torch.testing.assert_close(state.weights["w"], weight.detach(), atol=0, rtol=1e-6)


def test_a_step_makes_a_new_state_and_changes_nothing(pairs):
    network = student(pairs)
    step, batch = (
        Step(network, SETTINGS.model_copy(update={"mixed_precision": "off"})),
        pairs.batch(np.random.default_rng(0)),
    )
    state = TrainState.begin(dict(network.named_parameters()))
    one, other = step(state, batch), step(state, batch)
    untouched = dict(student(pairs).named_parameters())
    for name, weight in state.weights.items():
        assert torch.equal(one.weights[name], other.weights[name])
        assert torch.equal(weight, untouched[name])
        assert torch.equal(network.get_parameter(name), untouched[name])
    assert not all(torch.equal(one.weights[name], weight) for name, weight in state.weights.items())


def test_a_float16_gradient_that_overflows_changes_no_weight_and_halves_the_factor(pairs):
    network = student(pairs)
    batch = pairs.batch(np.random.default_rng(0))
    state = TrainState.begin(dict(network.named_parameters()), half=True)
    after = Step(network, SETTINGS.model_copy(update={"mixed_precision": "float16"}))(
        state, batch._replace(lr=batch.lr * math.inf)
    )
    assert (after.step, after.updates, after.loss_scale) == (1, 0, state.loss_scale / 2)
    assert after.weights is state.weights


def test_the_number_of_threads_changes_no_weight(pairs):
    before, networks = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            networks.append(teach(pairs)[0])
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert same_weights(*networks)


def test_a_training_starts_from_the_weights_it_is_given_and_must_beat_them(pairs):
    network, first = teach(pairs)
    given = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    spoiling = SETTINGS.model_copy(update={"learning_rate": 1.0, "schedule": "step", "explosion_loss": 1e9})
    report = train(network, pairs, spoiling, seed=1, device=CPU)
    assert report.first_validation == pytest.approx(first.best_validation)
    assert report.best_step == 0
    assert all(torch.equal(weight, given[name]) for name, weight in network.named_parameters())


def test_half_precision_learns_with_a_scaled_gradient(pairs):
    _, report = teach(pairs, SETTINGS.model_copy(update={"mixed_precision": "float16"}))
    assert report.best_validation < 0.9 * report.first_validation


def test_training_does_not_wait_for_a_compiler():
    code = (
        "import sys; from tests.superres.training import test_loop as loop\n"
        "loop.teach(loop.pairs_of(loop.smooth_noise())); print('torch._dynamo' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
