"""Attention within windows: what it equals, what it sees, and what its mask keeps apart."""

import pytest
import torch
from torch.nn import functional

from pipeline.superres.networks.hat import ChannelAttentionBlock
from pipeline.superres.networks.looks import beside_look, convolution_look, reach_of, window_look
from pipeline.superres.networks.window_body import WindowBody, WindowGroup
from pipeline.superres.networks.windows import (
    WindowAttention,
    WindowLayer,
    from_windows,
    heads_of,
    shift_mask,
    to_wide_windows,
    to_windows,
)

SIDE = 8


def features(side, channels=16, seed=0):
    return torch.randn(2, side, side, channels, generator=torch.Generator().manual_seed(seed))


def seen_by(layer, row, column, side=3 * SIDE, channels=16):
    """(side, side) which pixels the answer at a place depends on."""
    given = features(side, channels).requires_grad_()
    layer(given)[0, row, column].sum().backward()
    return (given.grad[0] != 0).any(-1)


def block(rows, columns, side=3 * SIDE):
    mask = torch.zeros(side, side, dtype=torch.bool)
    mask[rows, columns] = True
    return mask


def test_windows_are_cut_and_put_together_again():
    given = torch.randn(2, 16, 24, 3)
    windows = to_windows(given, SIDE)
    assert windows.shape == (2, 6, 64, 3)
    assert torch.equal(windows[1, 4].view(8, 8, 3), given[1, 8:16, 8:16])
    assert torch.equal(from_windows(windows, (16, 24)), given)


def test_one_window_over_all_is_plain_attention():
    attend = WindowAttention(16, SIDE)
    given = features(SIDE)
    query, key, value = (
        part.unflatten(-1, (heads_of(16), -1)).permute(0, 3, 1, 2, 4).flatten(2, 3)
        for part in attend.ask(given).chunk(3, dim=-1)
    )
    bias = torch.empty(heads_of(16), 64, 64)
    for one in range(64):
        for other in range(64):
            down, right = (one // 8 - other // 8 + 7, one % 8 - other % 8 + 7)
            bias[:, one, other] = attend.bias[down * 15 + right]
    plain = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    expected = attend.answer(plain.transpose(1, 2).flatten(2)).view(2, SIDE, SIDE, 16)
    torch.testing.assert_close(attend(given), expected)


def test_a_window_sees_itself_and_nothing_else():
    assert torch.equal(seen_by(WindowAttention(16, SIDE), 9, 14), block(slice(8, 16), slice(8, 16)))


def test_a_shifted_window_lies_across_the_borders_of_the_others():
    layer = WindowLayer(16, SIDE, shift_px=4)
    assert torch.equal(seen_by(layer, 9, 14), block(slice(4, 12), slice(12, 20)))


@pytest.mark.parametrize(
    ("place", "seen"),
    [
        ((0, 0), (slice(0, 4), slice(0, 4))),
        ((23, 23), (slice(20, 24), slice(20, 24))),
        ((1, 22), (slice(0, 4), slice(20, 24))),
        ((10, 0), (slice(4, 12), slice(0, 4))),
    ],
)
def test_the_mask_blocks_what_the_roll_wraps_around(place, seen):
    layer = WindowLayer(16, SIDE, shift_px=4)
    assert torch.equal(seen_by(layer, *place), block(*seen))


def test_without_the_mask_opposite_edges_would_meet():
    layer = WindowLayer(16, SIDE, shift_px=4)
    attend = layer.attend.forward
    layer.attend.forward = lambda given, together: attend(given, None)
    assert seen_by(layer, 0, 0)[20:, 20:].all()


def test_a_shifted_layer_moves_nothing():
    """With attention and maps silent, it is the identity: what was rolled is rolled back."""
    layer = WindowLayer(16, SIDE, shift_px=4)
    for linear in (layer.attend.answer, layer.mlp[-1]):
        torch.nn.init.zeros_(linear.weight)
        torch.nn.init.zeros_(linear.bias)
    given = features(24)
    assert torch.equal(layer(given), given)


def test_the_mask_of_one_rolled_window():
    together = shift_mask((4, 4), 4, 2)[0].view(4, 4, 4, 4)
    assert together[0, 0, 1, 1]
    assert not together[0, 0, 2, 0]
    assert not together[3, 0, 3, 3]
    assert int(together.sum()) == 4 * 4 * 4  # four quarters of four pixels each


def test_overlapping_windows_see_over_their_border_and_not_beyond_the_raster():
    layer = WindowLayer(16, SIDE, overlap_px=2)
    assert torch.equal(seen_by(layer, 9, 14), block(slice(6, 18), slice(6, 18)))
    assert torch.equal(seen_by(layer, 0, 23), block(slice(0, 10), slice(14, 24)))


def test_what_lies_beyond_the_raster_has_no_weight():
    """Were zeros counted as pixels, a constant raster would not stay constant at its border."""
    attend = WindowAttention(16, SIDE, overlap_px=2)
    answer = attend(torch.ones(1, 16, 16, 16))
    torch.testing.assert_close(answer, answer[:, 4:5, 4:5].expand_as(answer))


def test_wide_windows_are_windows_with_their_surroundings():
    given = torch.randn(1, 16, 16, 3)
    wide = to_wide_windows(given, SIDE, 2)
    assert torch.equal(wide[0, 3].view(12, 12, 3)[:10, :10], given[0, 6:, 6:])
    assert (wide[0, 3].view(12, 12, 3)[10:] == 0).all()


def test_the_biases_of_a_pair_of_pixels_are_those_of_its_distance():
    attend = WindowAttention(16, 4, overlap_px=2)
    with torch.no_grad():
        attend.bias.copy_(torch.arange(11**2, dtype=torch.float32)[:, None].expand(-1, 4))
    table = attend.bias[attend.positions][..., 0].view(4, 4, 8, 8).detach()
    assert (table[1, 2, 3, 4] == table[0, 0, 2, 2]).all()  # both look at themselves
    assert len({float(value) for value in table.flatten()}) == 11**2


def test_hybrid_layers_add_channel_attention_beside():
    everywhere, nearby = ChannelAttentionBlock(24, 0), ChannelAttentionBlock(24, 5)
    for branch in (everywhere, nearby):
        torch.nn.init.constant_(branch.body[-1].weigh[0].bias, 9.0)  # its one hidden feature is awake
    assert seen_by(WindowLayer(24, SIDE, beside=everywhere), 9, 14, channels=24).all()
    near = WindowLayer(24, SIDE, beside=nearby)
    own, around = block(slice(8, 16), slice(8, 16)), block(slice(5, 14), slice(10, 19))
    assert torch.equal(seen_by(near, 9, 14, channels=24), own | around)


def test_a_body_pads_to_whole_windows_and_crops():
    body = WindowBody(1, 16, [WindowGroup(16, [WindowLayer(16, SIDE)])], window_px=SIDE)
    given = torch.randn(1, 1, 11, 13)
    whole = functional.pad(given, (0, 3, 0, 5), mode="replicate")
    torch.testing.assert_close(body(given), body(whole)[..., :11, :13], atol=1e-5, rtol=0)


def test_reaches_are_counted_on_the_lattice():
    convolution = convolution_look(1)
    assert reach_of([convolution, convolution]) == 2
    assert reach_of([window_look(8)], 8) == 7
    assert reach_of([window_look(8), window_look(8, shift_px=4)], 8) == 11
    assert reach_of([window_look(8, overlap_px=2)], 8) == 9
    assert reach_of([beside_look(window_look(8), convolution_look(3))], 8) == 7
    assert reach_of([window_look(8), convolution], 8) == 8  # the first of a window sees the one before
