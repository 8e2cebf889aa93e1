"""What may be set of a network, and what its sizes stand for.

Each network comes in three sizes: `small` learns from one scene in minutes on a CPU, `standard` is larger,
`original` is the size of its paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.recipe_settings import ALONE, Branch, FirstName, when

NetworkName = Literal["attention", "zssr", "srcnn", "swinir", "hat", "hspan"]

ATTENTION = when("network.name", "attention")
CBAM = when("network.attention", "cbam")
GROUPS = when("network.name", "attention", "swinir", "hat", "hspan")
WINDOWS = when(
    "network.name or network.attention", "swinir", "hat", "hspan", "window", "overlapping_window", "hspa"
)
SIMILARITY = when("network.name or network.attention", "hspan", "hspa")

FIELDS_OF_SIZE = (
    "channels",
    "blocks",
    "layers",
    "window_px",
    "norm",
    "attention_window_px",
    "mean_window_px",
    "base_input",
    "upsampler",
)
_CONVOLUTIONS = {
    "small": (32, 2, None, None, "none", 7, 9, True, "direct"),
    "standard": (48, 4, None, None, "none", 7, 9, True, "direct"),
    "original": (64, 8, None, None, "group", 0, 0, False, "stages"),
}
_SIZES: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "attention": _CONVOLUTIONS,
    "zssr": _CONVOLUTIONS,
    "srcnn": _CONVOLUTIONS,
    "swinir": {
        "small": (32, 2, 2, 8, None, None, 9, True, "direct"),
        "standard": (60, 4, 6, 8, None, None, 9, True, "direct"),  # the paper's lightweight one
        "original": (180, 6, 6, 8, None, None, 0, False, "stages"),
    },
    "hat": {
        "small": (32, 2, 2, 8, None, 7, 9, True, "direct"),
        "standard": (60, 3, 4, 8, None, 7, 9, True, "direct"),
        "original": (180, 6, 6, 16, None, 0, 0, False, "stages"),
    },
    "hspan": {
        "small": (32, 2, 2, 24, None, None, 9, True, "direct"),
        "standard": (64, 4, 4, 24, None, None, 9, True, "direct"),
        "original": (192, 10, 4, 0, None, None, 0, False, "stages"),
    },
}
WINDOW_PX = {"window": 8, "overlapping_window": 8, "hspa": 24}  # of the attention network


def fields_of(name: str, size: str, attention: str) -> dict[str, Any]:
    """What a network's size stands for, by the names of `FIELDS_OF_SIZE`; without those of no use."""
    fields = dict(zip(FIELDS_OF_SIZE, _SIZES[name][size], strict=True))
    if name == "attention":
        fields["window_px"] = WINDOW_PX.get(attention)
    return {field: value for field, value in fields.items() if value is not None}


def filled(settings: NetworkSettings, field: str) -> int:
    """A field that a size sets (`Recipe.resolved`); ValueError where it is not filled in."""
    value = getattr(settings, field)
    if value is None:
        raise ValueError(f"network.{field} is unset; resolve the recipe first")
    return int(value)


def _odd(value: int | None) -> int | None:
    if value is not None and value % 2 == 0 and value != 0:
        raise ValueError("an odd number is wanted, so that the window has a center")
    return value


class NetworkSettings(Branch):
    """What adds detail, and what it is added to. A network that starts from a prior is the prior's."""

    name: Annotated[NetworkName, ALONE] = Field(
        "attention", description="Key of NETWORKS: attention, zssr, srcnn, swinir, hat, hspan."
    )
    base: Literal["bicubic", "back_projected", "tikhonov"] = Field(
        "tikhonov", description="What the network adds detail to; without a network it is the product."
    )
    pretrained: Annotated[Path | None, when("detail", "pretrained")] = Field(
        None,
        description="File (.safetensors, .pth) with weights of SRCNN, SwinIR, HAT or HSPAN as published by "
        "others; used as they are, without a training. Nothing is downloaded.",
    )
    pretrained_sha256: str = Field("", description="Filled in: digest of the weights' file.")
    size: Annotated[Literal["small", "standard", "original"] | None, FirstName, ALONE] = Field(
        "small", description="Sets the unset of the next fields; original is the size of the network's paper."
    )
    channels: Annotated[int | None, ALONE] = Field(
        None, ge=8, le=512, multiple_of=4, description="Features of the body; a multiple of 4."
    )
    blocks: Annotated[int | None, GROUPS] = Field(
        None, ge=1, le=64, description="Residual blocks, or groups of layers."
    )
    layers: Annotated[int | None, when("network.name", "swinir", "hat", "hspan")] = Field(
        None,
        ge=1,
        le=64,
        description="Attention layers in a group; hspan: residual blocks before its attention.",
    )
    window_px: Annotated[int | None, WINDOWS] = Field(
        None,
        ge=0,
        le=256,
        multiple_of=2,
        description="Side of the window within which pixels attend to each other, even; hspan: 0 is the "
        "whole input.",
    )
    topk: Annotated[int, SIMILARITY] = Field(
        128, ge=1, description="Similar pixels that a pixel may take from: those of the highest similarity."
    )
    residual_scale: Annotated[float, SIMILARITY] = Field(
        0.1, gt=0, le=1, description="Weight of what the similar pixels give."
    )
    similarity_reduction: Annotated[int, SIMILARITY] = Field(
        2, ge=1, le=64, description="Squeeze of the channels by which pixels are compared."
    )
    mapping_px: Annotated[Literal[1, 5], when("network.name", "srcnn")] = Field(
        1, description="Kernel of the middle layer: 1 is 9-1-5, 5 is 9-5-5."
    )
    attention: Annotated[Literal["cbam", "window", "overlapping_window", "hspa", "none"], ATTENTION] = Field(
        "cbam",
        description="Of the blocks: by channel and place (cbam), within windows, within windows that see "
        "over their border, by high similarity, or none.",
    )
    norm: Annotated[Literal["none", "group"] | None, ATTENTION] = Field(
        None, description="GroupNorm(8) in the blocks makes a pixel depend on its whole tile."
    )
    channel_attention: Annotated[bool, CBAM] = Field(True, description="Channel attention in the blocks.")
    spatial_attention: Annotated[bool, CBAM] = Field(True, description="Spatial attention in the blocks.")
    attention_reduction: Annotated[int, when("network.channel_attention", True)] = Field(
        8, ge=1, le=64, description="Squeeze of the channel attention."
    )
    attention_pooling: Annotated[Literal["both", "average"], when("network.channel_attention", True)] = Field(
        "both", description="Channels are weighed by their average and maximum, or by the average alone."
    )
    attention_kernel_px: Annotated[int, when("network.spatial_attention", True)] = Field(
        7, ge=1, le=31, description="Kernel of the spatial attention; odd."
    )
    attention_every: Annotated[
        int,
        when(
            "network.channel_attention or network.spatial_attention or network.attention",
            True,
            "window",
            "overlapping_window",
            "hspa",
        ),
    ] = Field(1, ge=1, le=16, description="Attention in every n-th block.")
    attention_window_px: Annotated[
        int | None, when("network.channel_attention or network.name", True, "hat")
    ] = Field(
        None,
        ge=0,
        le=255,
        description="Window of the channel attention's pooling, odd; 0 pools the whole input.",
    )
    mean_window_px: Annotated[int | None, ALONE] = Field(
        None,
        ge=0,
        le=63,
        description="The network sees the scene without its mean over this window, odd (0: as is).",
    )
    base_input: Annotated[bool | None, GROUPS] = Field(
        None, description="The network sees the base beside the scene."
    )
    noise_input: Annotated[bool, GROUPS] = Field(False, description="The network is told the scene's noise.")
    upsampler: Annotated[Literal["direct", "stages"] | None, GROUPS] = Field(
        None, description="Unfold the detail in one step, or by doublings as the original does."
    )

    _windows_have_a_center = field_validator(
        "attention_kernel_px", "attention_window_px", "mean_window_px", mode="after"
    )(_odd)

    @model_validator(mode="after")
    def _fits(self) -> NetworkSettings:
        grouped = self.norm == "group" or (self.norm is None and self.size == "original")
        if self.name == "attention" and grouped and (self.channels or 8) % 8:
            raise ValueError(f"norm = group wants channels in eights, got {self.channels} channels")
        attends = self.name in ("swinir", "hat") or (self.name, self.attention) in (
            ("attention", "window"),
            ("attention", "overlapping_window"),
        )
        if self.window_px == 0 and attends:
            raise ValueError("window_px = 0 (the whole input) is for hspan and hspa alone; name a size")
        return self
