"""How published networks name their tensors, and the same networks built of our layers.

SRCNN (yjn870/SRCNN-pytorch), SwinIR (JingyunLiang/SwinIR, its classical and lightweight networks), HAT
(XPixelGroup/HAT), HSPAN (laoyangui/HSPAN). Sizes are read from names and shapes, as spandrel does. Sources of
the networks: their modules beside this one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import TypeAlias, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.network_settings import NetworkSettings
from pipeline.superres.networks.detail import Chain, DetailNetwork, alternate, convolution
from pipeline.superres.networks.hat import ChannelAttentionBlock
from pipeline.superres.networks.heads import direct_head, narrowed_head, staged_head
from pipeline.superres.networks.hspan import SimilarityBody
from pipeline.superres.networks.window_body import WindowBody, WindowGroup, shifts
from pipeline.superres.networks.windows import WindowLayer

PHOTOGRAPHS_MEAN = (0.4488, 0.4371, 0.4040)  # of red, green and blue, which these networks take away
LARGEST_WINDOW_PX = 64
ALL_PIXELS = 2**31 - 1  # HSPAN's code looks further than its top 128 where these are not enough


class PretrainedNetwork(DetailNetwork):
    """head(body(scene)), the mean of photographs taken away before and put back after.

    One band is given as all bands, and the answer is their mean.
    """

    mean: Tensor

    def __init__(self, body: nn.Module, head: nn.Module, *, scale: int, grid: str, bands: int) -> None:
        super().__init__(body, head, scale=scale, grid=grid, mean_window_px=0, starts_at_base=False)
        mean = torch.tensor(PHOTOGRAPHS_MEAN) if bands == 3 else torch.zeros(bands)
        self.register_buffer("mean", mean[:, None, None])

    def forward(
        self,
        lr: Float[Tensor, "n 1 y x"],
        base: Float[Tensor, "n 1 fine_y fine_x"],
        noise: Float[Tensor, "n 1 1 1"] | None = None,  # noqa: ARG002
    ) -> Float[Tensor, "n 1 fine_y fine_x"]:
        """(n, 1, y, x) scene, or its base for a body on the fine grid, to the answer; 0 to 1 is usual."""
        seen = lr if self.grid == "lr" else base
        answer = self.head(self.body(seen - self.mean)) + self.mean
        return cast(Tensor, answer).mean(dim=1, keepdim=True)


# Name, enlargement, a fresh network, and their names by patterns, to be replaced one after the other.
Layout: TypeAlias = tuple[str, int | None, Callable[[int], PretrainedNetwork], Mapping[str, str]]


def _srcnn(tensors: dict[str, Tensor]) -> Layout:
    """Three convolutions on the enlarged scene."""
    first, second = tensors["conv1.weight"].shape, tensors["conv2.weight"].shape
    bands, sizes = first[1], (first[-1], second[-1], tensors["conv3.weight"].shape[-1])
    if any(size_px % 2 == 0 for size_px in sizes):
        raise ValueError(f"kernels of odd sides are wanted, found {sizes}")

    def build(scale: int) -> PretrainedNetwork:
        """The fresh network for an enlargement."""
        layers = [convolution(bands, first[0], sizes[0]), convolution(first[0], second[0], sizes[1])]
        body = Chain(*alternate(layers), reach_px=sizes[0] // 2 + sizes[1] // 2)
        head = Chain(convolution(second[0], bands, sizes[2]), reach_px=sizes[2] // 2)
        return PretrainedNetwork(body, head, scale=scale, grid="hr", bands=bands)

    return "srcnn", None, build, {r"^conv1\.": "body.0.", r"^conv2\.": "body.2.", r"^conv3\.": "head.0."}


def _swinir(tensors: dict[str, Tensor]) -> Layout:
    """Window layers in groups."""
    channels, bands = tensors["conv_first.weight"].shape[:2]
    if "conv_up1.weight" in tensors or "conv_after_body.0.weight" in tensors:
        raise ValueError("SwinIR's classical and lightweight networks are read, found its network for photos")
    if "conv_before_upsample.0.weight" in tensors:
        scale, head = _steps(tensors, "upsample"), narrowed_head
    else:
        scale, head = math.isqrt(tensors["upsample.0.weight"].shape[0] // bands), direct_head
    window_px = _side(tensors["layers.0.residual_group.blocks.0.attn.relative_position_bias_table"])
    depths, rules = _windows_by_ours(tensors)

    def layers(count: int) -> list[WindowLayer]:
        """Those of a group."""
        return [WindowLayer(channels, window_px, shift_px=each) for each in shifts(count, window_px)]

    def build(scale: int) -> PretrainedNetwork:
        """The fresh network for an enlargement."""
        groups = [WindowGroup(channels, layers(count)) for count in depths]
        body = WindowBody(bands, channels, groups, window_px=window_px)
        return PretrainedNetwork(body, head(channels, scale, bands), scale=scale, grid="lr", bands=bands)

    return "swinir", scale, build, rules


def _hat(tensors: dict[str, Tensor]) -> Layout:
    """Hybrid layers in groups; changes the biases in `tensors` to our order."""
    channels, bands = tensors["conv_first.weight"].shape[:2]
    block = "layers.0.residual_group.blocks.0."
    window_px = _side(tensors[f"{block}attn.relative_position_bias_table"])
    wide_px = _side(tensors["layers.0.residual_group.overlap_attn.relative_position_bias_table"], window_px)
    compression, squeeze = (
        channels // tensors[f"{block}conv_block.cab.{layer}.weight"].shape[0]
        for layer in ("0", "3.attention.1")
    )
    depths, rules = _windows_by_ours(tensors)
    for name in [name for name in tensors if name.endswith("overlap_attn.relative_position_bias_table")]:
        tensors[name] = _biases_by_ours(tensors[name], window_px, wide_px)

    def layers(count: int) -> list[WindowLayer]:
        """Those of a group."""
        hybrid = []
        for shift_px in shifts(count, window_px):
            beside = ChannelAttentionBlock(channels, 0, compression=compression, squeeze=squeeze)
            hybrid.append(WindowLayer(channels, window_px, shift_px=shift_px, beside=beside))
        over_px = (wide_px - window_px) // 2
        return [*hybrid, WindowLayer(channels, window_px, overlap_px=over_px, counts_outside=True)]

    def build(scale: int) -> PretrainedNetwork:
        """The fresh network for an enlargement."""
        groups = [WindowGroup(channels, layers(count)) for count in depths]
        body = WindowBody(bands, channels, groups, window_px=window_px, sees_everything=True)
        head = narrowed_head(channels, scale, bands)
        return PretrainedNetwork(body, head, scale=scale, grid="lr", bands=bands)

    return "hat", _steps(tensors, "upsample"), build, rules


def _hspan(tensors: dict[str, Tensor]) -> Layout:
    """Locality blocks and attention by similarity in groups."""
    channels, bands = tensors["head.0.weight"].shape[:2]
    groups = len({name.split(".")[1] for name in tensors if name.startswith("body.")}) - 1
    parts = len({name.split(".")[3] for name in tensors if name.startswith("body.0.body.")})
    compared = tensors[f"body.0.body.{parts - 2}.conv_match1.0.weight"].shape[0]
    settings = NetworkSettings(
        name="hspan",
        channels=channels,
        blocks=groups,
        layers=parts - 2,
        window_px=0,
        topk=ALL_PIXELS,
        similarity_reduction=channels // compared,
    )

    def build(scale: int) -> PretrainedNetwork:
        """The fresh network for an enlargement."""
        body, head = SimilarityBody(settings, bands, channels), staged_head(channels, scale, bands)
        return PretrainedNetwork(body, head, scale=scale, grid="lr", bands=bands)

    last = 2 * len([name for name in tensors if re.fullmatch(r"tail\.0\.\d+\.weight", name)])
    rules = {
        r"^head\.0\.": "body.first.",
        r"^body\.(?=\d)": "body.deep.",
        r"\.conv_match1\.": ".own.",
        r"\.conv_match2\.": ".other.",
        r"\.conv_assembly\.": ".given.",
        r"^tail\.0\.": "head.",
        r"^tail\.1\.": f"head.{last}.",
    }
    return "hspan", _steps(tensors, "tail.0"), build, rules


def _windows_by_ours(tensors: Mapping[str, Tensor]) -> tuple[list[int], dict[str, str]]:
    """Layers of every group, and the names of SwinIR and HAT by ours."""
    found = [re.match(r"layers\.(\d+)\.residual_group\.blocks\.(\d+)\.", name) for name in tensors]
    places = {(int(each[1]), int(each[2])) for each in found if each is not None}
    groups = sorted({group for group, _ in places})
    depths = [sum(each == group for each, _ in places) for group in groups]
    rules = {
        r"^conv_first\.": "body.first.",
        r"^patch_embed\.norm\.": "body.before.",
        r"^norm\.": "body.after.",
        r"^conv_after_body\.": "body.last.",
        r"^layers\.(\d+)\.conv\.": r"body.groups.\1.after.",
        r"^layers\.(\d+)\.residual_group\.blocks\.(\d+)\.": r"body.groups.\1.layers.\2.",
        r"\.norm1\.": ".before_attention.",
        r"\.norm2\.": ".before_mlp.",
        r"\.mlp\.fc1\.": ".mlp.0.",
        r"\.mlp\.fc2\.": ".mlp.2.",
        r"\.conv_block\.cab\.3\.attention\.1\.": ".beside.body.3.weigh.0.",
        r"\.conv_block\.cab\.3\.attention\.3\.": ".beside.body.3.weigh.2.",
        r"\.conv_block\.cab\.": ".beside.body.",
        **{
            rf"^layers\.{group}\.residual_group\.overlap_attn\.": f"body.groups.{group}.layers.{count}.attn."
            for group, count in zip(groups, depths, strict=True)
        },
        r"\.attn\.(before_\w+|mlp)\.": r".\1.",  # of the overlapping layer: only attention is below it
        r"\.attn\.qkv\.": ".attend.ask.",
        r"\.attn\.proj\.": ".attend.answer.",
        r"\.attn\.relative_position_bias_table$": ".attend.bias",
    }
    narrowed = "conv_before_upsample.0.weight" in tensors
    steps = [name.split(".")[1] for name in tensors if re.fullmatch(r"upsample\.\d+\.weight", name)]
    if narrowed:
        rules |= {r"^conv_before_upsample\.0\.": "head.0.", r"^conv_last\.": f"head.{2 + 2 * len(steps)}."}
    first = 2 if narrowed else 0
    return depths, rules | {rf"^upsample\.{step}\.": f"head.{first + int(step)}." for step in steps}


def renamed(name: str, rules: Mapping[str, str]) -> str:
    """A tensor's name in our network."""
    for pattern, ours in rules.items():
        name = re.sub(pattern, ours, name)
    return name


def _side(biases: Tensor, inner_px: int | None = None) -> int:
    """Side of a window, by the number of ways that two of its pixels can lie; or of one around another."""
    ways = math.isqrt(biases.shape[0])
    side_px = (ways + 1) // 2 if inner_px is None else ways + 1 - inner_px
    if not 1 <= side_px <= LARGEST_WINDOW_PX:
        raise ValueError(f"windows of 1 to {LARGEST_WINDOW_PX} pixels are wanted, found {side_px}")
    return side_px


def _biases_by_ours(biases: Tensor, window_px: int, wide_px: int) -> Tensor:
    """HAT's biases of overlapping windows in our order.

    Its code counts the way from a pixel to one of the wide window from a corner, and where the count is below
    zero, from the table's end.
    """
    side = window_px + wide_px - 1
    back = window_px - torch.arange(side)
    return biases[((back[:, None] * side + back) % side**2).flatten()]


def _steps(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """The enlargement of sub-pixel convolutions one after the other."""
    scale = 1
    for name, tensor in tensors.items():
        if re.fullmatch(rf"{re.escape(prefix)}\.\d+\.weight", name):
            scale *= math.isqrt(tensor.shape[0] // tensor.shape[1])
    return scale


# A name that only this network has, before those of networks that share its other names.
LAYOUTS: Mapping[str, Callable[[dict[str, Tensor]], Layout]] = {
    "layers.0.residual_group.overlap_attn.qkv.weight": _hat,
    "layers.0.residual_group.blocks.0.attn.qkv.weight": _swinir,
    "body.0.body.0.body.0.weight": _hspan,
    "conv1.weight": _srcnn,
}
