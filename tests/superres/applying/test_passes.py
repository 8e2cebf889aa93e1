import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.grid import Window
from pipeline.recipe_settings import InferSettings
from pipeline.superres.applying.passes import (
    TURNS,
    blend_weights,
    blended,
    combine,
    passes,
    shift_passes,
    turn,
    turn_back,
    turned,
)
from pipeline.superres.applying.upscaler import Piece, Upscaler
from pipeline.superres.applying.windows import compute_passes, compute_window
from tests.superres.applying.strategies import every_network_and_strategy
from tests.superres.upscalers import Repeat, global_upscaler, landscape, small_upscaler

WHOLE = Window(0, 0, 29, 22)


def answer(network, strategy, lr):
    ways = passes(network(), strategy, np.random.default_rng(5))
    return compute_passes(ways, lr, Window(0, 0, *lr.shape), "mean")[0]


@every_network_and_strategy
def test_every_strategy_gives_the_fine_grid(network, strategy):
    hr = answer(network, strategy, landscape(29, 22))
    assert hr.shape == (58, 44)
    assert hr.dtype == np.float32


@every_network_and_strategy
def test_every_strategy_keeps_a_flat_field_flat(network, strategy):
    hr = answer(network, strategy, np.full((29, 22), 301.25, dtype=np.float32))
    np.testing.assert_allclose(hr, 301.25, rtol=0, atol=1e-4)


@every_network_and_strategy
def test_every_strategy_answers_a_warmer_scene_with_a_warmer_answer(network, strategy):
    lr = landscape(29, 22)
    warmer = answer(network, strategy, lr + np.float32(8))
    np.testing.assert_allclose(warmer, answer(network, strategy, lr) + 8, rtol=0, atol=3e-4)


@every_network_and_strategy
def test_every_strategy_looks_no_farther_than_it_says(network, strategy):
    lr = landscape(61, 53)
    touched = lr.copy()
    touched[30, 26] += 3
    for up in passes(network(), strategy, np.random.default_rng(5)):
        if up.reach_px is None:
            assert strategy.mode == "whole"
            continue
        changed = np.argwhere(up(touched, (2, -3)) != up(lr, (2, -3))) // up.scale
        assert len(changed)
        assert np.abs(changed - [30, 26]).max() <= up.reach_px


def test_the_stated_reach_is_no_exaggeration():
    lr, touched = landscape(31, 31), landscape(31, 31)
    touched[15, 15] += 3
    up = small_upscaler()
    changed = np.argwhere(up(touched) != up(lr)) // up.scale
    assert np.abs(changed - 15).max() == up.reach_px == 4


def test_shifts_times_transformations_is_forty_eight_passes():
    strategy = InferSettings(mode="blend_shifts", self_ensemble=True, num_shift_passes=6, context_px=0)
    assert len(passes(small_upscaler(), strategy, np.random.default_rng(0))) == 48


def test_an_asymmetric_kernel_forbids_turning_the_scene():
    strategy = InferSettings(mode="shifts", self_ensemble=True, num_shift_passes=3, context_px=0)
    assert len(passes(small_upscaler(), strategy, np.random.default_rng(0), symmetric=False)) == 3


# The eight transformations


def test_the_eight_transformations_are_distinct():
    square = np.arange(9, dtype=np.float32).reshape(3, 3)
    assert len({turn(square, k).tobytes() for k in TURNS}) == 8


def test_the_eight_transformations_are_the_flips_and_quarter_turns():
    square = np.arange(9, dtype=np.float32).reshape(3, 3)
    wanted = {np.rot90(way, k).tobytes() for way in (square, square[::-1]) for k in range(4)}
    assert {turn(square, k).tobytes() for k in TURNS} == wanted


@given(
    picture=arrays(
        np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.floats(0, 1, width=32)
    ),
    k=st.sampled_from(TURNS),
)
def test_turning_back_undoes_turning(picture, k):
    np.testing.assert_array_equal(turn_back(turn(picture, k), k), picture)
    np.testing.assert_array_equal(turn(turn_back(picture, k), k), picture)


@pytest.mark.parametrize("k", TURNS)
def test_flipped_in_is_flipped_out(k):
    up, lr = small_upscaler(), landscape(17, 12)
    np.testing.assert_array_equal(turned(up, k)(lr), turn_back(up(turn(lr, k)), k))


@pytest.mark.parametrize("k", TURNS)
def test_an_enlargement_without_preferred_direction_does_not_notice_turning(k):
    up = Upscaler(lambda piece: Repeat(3)(piece.lr), 3, 0)
    lr = landscape(9, 14)
    np.testing.assert_array_equal(turned(up, k)(lr), Repeat(3)(lr))


@given(
    k=st.sampled_from(TURNS),
    row=st.integers(-40, 40),
    column=st.integers(-40, 40),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
)
def test_a_turned_piece_knows_where_it_lies(k, row, column, height, width):
    """A function of the scene's coordinates must come out the same for a piece as for the whole."""
    up = turned(Upscaler(_coordinates, 1, 0), k)
    whole = up(np.zeros((100, 100), dtype=np.float32), (-50, -50))
    piece = up(np.zeros((height, width), dtype=np.float32), (row, column))
    window = Window(row + 50, column + 50, height, width)
    np.testing.assert_array_equal(piece, whole[window.slices])


def _coordinates(piece):
    rows, columns = np.indices(piece.lr.shape)
    return (1000 * (rows + piece.origin[0]) + columns + piece.origin[1]).astype(np.float32)


def test_there_is_no_ninth_transformation():
    with pytest.raises(ValueError, match="k must be within 0 and 7, got 8"):
        turned(small_upscaler(), 8)


# Patches


@given(patch_px=st.integers(1, 40), overlap=st.floats(0, 0.9), scale=st.sampled_from([1, 2, 4]))
def test_the_weights_of_all_patches_sum_to_one_everywhere(patch_px, overlap, scale):
    overlap_px = min(round(overlap * patch_px), patch_px - 1)
    weights = blend_weights(patch_px, overlap_px, scale)
    stride = scale * (patch_px - overlap_px)
    total = np.zeros(30 * stride + weights.size)
    for start in range(0, 30 * stride + 1, stride):
        total[start : start + weights.size] += weights
    np.testing.assert_allclose(total[weights.size : 30 * stride], 1, rtol=0, atol=1e-12)
    assert (weights > 0).all()


def test_the_weights_fade_from_the_middle_to_the_edges():
    weights = blend_weights(16, 8, 2)
    assert (np.diff(weights[:16]) >= 0).all()
    np.testing.assert_allclose(weights, weights[::-1])
    assert weights[0] < 0.05


def test_the_weights_are_a_gaussian_times_a_linear_fade_over_their_sum():
    weights = blend_weights(10, 2, 1)
    gauss = np.exp(-0.5 * ((np.arange(10) + 0.5 - 5) / 3) ** 2)
    raw = gauss * np.array([0.25, 0.75, 1, 1, 1, 1, 1, 1, 0.75, 0.25])
    assert weights[0] == pytest.approx(raw[0] / (raw[0] + raw[8]))
    assert weights[5] == pytest.approx(1)


@given(
    patch_px=st.integers(3, 20),
    overlap=st.floats(0, 0.9),
    shift=st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
    origin=st.tuples(st.integers(-30, 30), st.integers(-30, 30)),
    extra=st.integers(0, 3),
)
@settings(max_examples=50)
def test_patches_with_enough_context_leave_no_trace_of_themselves(patch_px, overlap, shift, origin, extra):
    up, lr = small_upscaler(), landscape(23, 19)
    reach = up.reach_px
    way = blended(
        up,
        patch_px=patch_px,
        overlap_fraction=overlap,
        shift=shift,
        context_px=None if extra == 0 else reach + extra,
    )
    inside = (slice(2 * reach, -2 * reach),) * 2
    np.testing.assert_allclose(way(lr, origin)[inside], up(lr, origin)[inside], rtol=0, atol=1e-4)


def test_patches_that_see_all_they_need_are_computed_as_the_whole_is():
    """However many shifts are asked for: with an exact halo a shifted lattice gives the same pixels."""
    up = small_upscaler()
    strategy = InferSettings(mode="blend_shifts", self_ensemble=False, num_shift_passes=6, patch_px=16)
    assert passes(up, strategy, np.random.default_rng(0)) == [up]


def test_only_patches_that_touch_the_wanted_window_are_computed():
    patches = []

    def remember(piece):
        patches.append(piece.origin)
        return Repeat(2)(piece.lr)

    way = blended(Upscaler(remember, 2, None), patch_px=8, overlap_fraction=0.0)
    hr = compute_window(way, landscape(64, 64), Window(16, 24, 8, 16))
    np.testing.assert_allclose(hr, Repeat(2)(landscape(64, 64)[16:24, 24:40]), rtol=0, atol=1e-4)
    assert patches == [(16, 24), (16, 32)]


def test_a_patch_without_context_sees_nothing_outside_itself():
    up, lr = small_upscaler(), landscape(32, 32)
    way = blended(up, patch_px=16, context_px=0, overlap_fraction=0.0)
    wanted = up.added(Piece.whole(lr[:16, 16:], Repeat(2)(lr[:16, 16:]))) + Repeat(2)(lr[:16, 16:])
    np.testing.assert_allclose(way(lr)[:32, 32:], wanted, rtol=0, atol=1e-5)


def test_patches_hang_on_the_scene_and_the_shift_moves_them():
    lr = landscape(40, 40)
    up = global_upscaler()
    way = blended(up, patch_px=16, shift=(3, -5), overlap_fraction=0.0)
    patch = lr[10 : 10 + 16, 12 : 12 + 16]
    # Row 10 of this piece is row 19 = 16 + 3 of the scene, its column 12 is column 27 = 2 * 16 - 5.
    np.testing.assert_allclose(way(lr, (9, 15))[20:52, 24:56], up(patch), rtol=0, atol=1e-4)


@given(origin=st.tuples(st.integers(-40, 40), st.integers(-40, 40)), context_px=st.integers(0, 3))
def test_a_patch_knows_where_it_lies(origin, context_px):
    piece = np.zeros((13, 10), dtype=np.float32)
    way = blended(
        Upscaler(_coordinates, 1, 9), patch_px=6, shift=(2, 5), context_px=context_px, overlap_fraction=0.0
    )
    np.testing.assert_array_equal(way(piece, origin), _coordinates(Piece.whole(piece, None, origin)))


@pytest.mark.parametrize("shift", [(0, 0), (5, -3), (-16, 16)])
def test_every_pixel_of_every_patch_is_made_by_a_patch_of_full_size(shift):
    sizes = []

    def remember(piece):
        sizes.append(piece.lr.shape)
        return Repeat(2)(piece.lr)

    lr = landscape(21, 35)
    hr = blended(Upscaler(remember, 2, None), patch_px=16, shift=shift, overlap_fraction=0.0)(lr)
    assert set(sizes) == {(16, 16)}
    np.testing.assert_allclose(hr, Repeat(2)(lr), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("patch_px", "overlap"), [(0, 0.2), (8, 1.0)])
def test_patches_that_cover_nothing_are_refused(patch_px, overlap):
    with pytest.raises(ValueError, match="patch_px must be positive, overlap_fraction below 1"):
        blended(small_upscaler(), patch_px=patch_px, overlap_fraction=overlap)


# Shifts


@given(
    number=st.integers(1, 20),
    ratio=st.floats(0, 1),
    patch_px=st.integers(16, 200),
    seed=st.integers(0, 2**32),
)
def test_shifts_stay_within_their_share_of_a_patch_and_differ(number, ratio, patch_px, seed):
    strategy = InferSettings(num_shift_passes=number, max_shift_ratio=ratio)
    shifts = shift_passes(strategy, patch_px, np.random.default_rng(seed))
    farthest = round(ratio * patch_px)
    assert len(shifts) == number
    assert np.abs(shifts).max() <= farthest
    assert len(set(shifts)) == number or (2 * farthest + 1) ** 2 < number


def test_the_same_seed_gives_the_same_shifts_and_another_seed_others():
    strategy = InferSettings()
    first, again, other = (shift_passes(strategy, 128, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_shifts_reach_all_sides():
    shifts = np.array(shift_passes(InferSettings(num_shift_passes=64), 128, np.random.default_rng(0)))
    assert shifts.min() < -35
    assert shifts.max() > 35
    assert abs(shifts.mean()) < 5


# Many answers to one

answers = arrays(
    np.float32, st.tuples(st.integers(1, 12), st.just(3), st.just(2)), elements=st.floats(250, 350, width=32)
)


@given(stack=answers)
def test_the_mean_is_the_mean_and_the_spread_the_standard_deviation(stack):
    mean, spread = combine(iter(stack), "mean")
    np.testing.assert_allclose(mean, stack.mean(axis=0, dtype=np.float64), rtol=0, atol=5e-5)
    np.testing.assert_allclose(spread, stack.astype(np.float64).std(axis=0), rtol=1e-5, atol=1e-6)


def test_sums_over_many_passes_are_double_precision():
    stack = np.random.default_rng(0).normal(300, 20, (48, 30, 30)).astype(np.float32)
    mean, _ = combine(iter(stack), "mean")
    # No farther from the truth than float32 must be: half a step.
    assert np.abs(mean - stack.mean(axis=0, dtype=np.float64)).max() <= 0.5001 * np.spacing(np.float32(300))


@given(stack=answers)
def test_the_median_is_the_median_with_the_same_spread(stack):
    median, spread = combine(iter(stack), "median")
    np.testing.assert_array_equal(median, np.median(stack.astype(np.float64), axis=0).astype(np.float32))
    np.testing.assert_array_equal(spread, combine(iter(stack), "mean")[1])


def test_the_trimmed_mean_leaves_out_the_lowest_and_the_highest_quarter():
    stack = [np.full((1, 1), kelvin, dtype=np.float32) for kelvin in (100, 290, 291, 292, 293, 294, 295, 900)]
    assert combine(stack, "trimmed")[0][0, 0] == 292.5


@pytest.mark.parametrize("reduce", ["mean", "median", "trimmed"])
def test_one_answer_is_itself_without_spread(reduce):
    lr = landscape(5, 4)
    combined, spread = combine([lr], reduce)
    np.testing.assert_array_equal(combined, lr)
    np.testing.assert_array_equal(spread, 0)


def test_millikelvins_of_spread_are_seen_at_three_hundred_kelvin():
    stack = [np.full((1, 1), 300 + 0.001 * k, dtype=np.float32) for k in (-1, 1)]
    assert combine(stack, "mean")[1][0, 0] == pytest.approx(0.001, rel=0.05)


def test_the_mean_holds_one_answer_at_a_time():
    alive, most = 0, 0

    class Counted(np.ndarray):
        def __del__(self):
            nonlocal alive
            alive -= self.base is None

    def stream():
        nonlocal alive, most
        for _ in range(48):
            alive += 1
            most = max(most, alive)
            each = Counted((4, 4), dtype=np.float32)
            each[:] = 300
            yield each
            del each

    combine(stream(), "mean")
    assert most <= 2


def test_nothing_cannot_be_combined():
    with pytest.raises(ValueError, match="at least one answer"):
        combine([], "mean")


# The noun


def test_an_upscaler_that_breaks_its_word_is_caught():
    with pytest.raises(ValueError, match=r"x3 of \(4, 5\) pixels must be \(12, 15\) float32, got \(8, 10\)"):
        Upscaler(lambda piece: Repeat(2)(piece.lr), 3, 0)(landscape(4, 5))


def test_a_global_network_by_patches_reaches_as_far_as_a_patch():
    assert blended(global_upscaler(), patch_px=16, overlap_fraction=0.0).reach_px == 15
    assert blended(global_upscaler(), patch_px=16, context_px=3, overlap_fraction=0.0).reach_px == 18
    assert blended(small_upscaler(), patch_px=16, context_px=0, overlap_fraction=0.0).reach_px == 4
    assert compute_window(
        blended(small_upscaler(), patch_px=2, context_px=0, overlap_fraction=0.0), landscape(9, 9), WHOLE
    ).any()
