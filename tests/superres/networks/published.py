"""Published networks as plain functions of tensors under their published names.

Written apart from the networks that they are to be compared with: one picture, windows one by one in loops,
biases by the papers' own counting. `made` gives little weights of a build.
"""

import io
import itertools
import math

import torch
from torch.nn import functional

MEAN = torch.tensor([0.4488, 0.4371, 0.4040])[:, None, None]


def made(name, *, scale=2, channels=12, bands=3, window=4, layers=(2, 3), direct=False, seed=0):
    """Random tensors by published names."""
    shapes = {
        "srcnn": lambda: {"conv1": (8, bands, 9), "conv2": (4, 8, 5), "conv3": (bands, 4, 5)},
        "hspan": lambda: _hspan_shapes(scale, channels, bands, layers),
    }.get(name, lambda: _window_shapes(name, scale, channels, bands, window, layers, direct))()
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for layer, shape in shapes.items():
        if len(shape) == 3:  # a convolution: to, from, side
            tensors[f"{layer}.weight"] = torch.randn(*shape, shape[-1], generator=generator) / shape[-1] ** 2
            tensors[f"{layer}.bias"] = torch.randn(shape[0], generator=generator) / 10
        elif layer.endswith("table"):
            tensors[layer] = torch.randn(shape, generator=generator)
        elif shape[0] == 1:  # of a PReLU
            tensors[f"{layer}.weight"] = torch.tensor([0.25])
        else:  # a linear map, or a norm
            tensors[f"{layer}.weight"] = torch.randn(shape, generator=generator) / 3 + (len(shape) == 1)
            tensors[f"{layer}.bias"] = torch.randn(shape[0], generator=generator) / 10
    return tensors


def as_pth(tensors, **around):
    """The bytes of a .pth file."""
    file = io.BytesIO()
    torch.save(around or tensors, file)
    return file.getvalue()


def answer(name, tensors, picture, base=None):
    """(y, x) scene, or its enlargement for srcnn, to the network's answer for one band."""
    if name == "srcnn":
        hidden = functional.relu(_conv(tensors, "conv1", base[None]))
        return _conv(tensors, "conv3", functional.relu(_conv(tensors, "conv2", hidden)))[0]
    first = "head.0" if name == "hspan" else "conv_first"
    bands = tensors[f"{first}.weight"].shape[1]
    mean = MEAN if bands == 3 else torch.zeros(1, 1, 1)
    shallow = _conv(tensors, first, picture.expand(bands, -1, -1) - mean)
    deep = _hspan_body if name == "hspan" else _window_body
    return (_unfold(tensors, shallow + deep(tensors, shallow)) + mean).mean(0)


def _hspan_shapes(scale, channels, bands, layers):
    shapes = {"head.0": (channels, bands, 3), f"body.{len(layers)}": (channels, channels, 3)}
    for group, count in enumerate(layers):
        for block in range(count):
            shapes |= {f"body.{group}.body.{block}.body.{k}": (channels, channels, 3) for k in (0, 2)}
        for part, width in (("match1", channels // 2), ("match2", channels // 2), ("assembly", channels)):
            shapes[f"body.{group}.body.{count}.conv_{part}.0"] = (width, channels, 1)
            shapes[f"body.{group}.body.{count}.conv_{part}.1"] = (1,)
        shapes[f"body.{group}.body.{count + 1}"] = (channels, channels, 3)
    return shapes | _steps("tail.0", scale, channels) | {"tail.1": (bands, channels, 3)}


def _steps(prefix, scale, channels):
    if scale == 3:
        return {f"{prefix}.0": (9 * channels, channels, 3)}
    return {f"{prefix}.{2 * k}": (4 * channels, channels, 3) for k in range(int(math.log2(scale)))}


def _window_shapes(name, scale, channels, bands, window, layers, direct):
    ends = ("conv_first", bands), ("conv_after_body", channels)
    shapes = {end: (channels, given, 3) for end, given in ends}
    shapes |= dict.fromkeys(("patch_embed.norm", "norm"), (channels,))
    for group, count in enumerate(layers):
        shapes[f"layers.{group}.conv"] = (channels, channels, 3)
        inside = f"layers.{group}.residual_group"
        blocks = [(f"{inside}.blocks.{k}", ".attn", 2 * window - 1) for k in range(count)]
        if name == "hat":
            for block, _, _ in blocks:
                shapes[f"{block}.conv_block.cab.0"] = (channels // 3, channels, 3)
                shapes[f"{block}.conv_block.cab.2"] = (channels, channels // 3, 3)
                shapes[f"{block}.conv_block.cab.3.attention.1"] = (channels // 6, channels, 1)
                shapes[f"{block}.conv_block.cab.3.attention.3"] = (channels, channels // 6, 1)
            blocks.append((f"{inside}.overlap_attn", "", 2 * window + window // 2 - 1))
        for block, attention, ways in blocks:
            shapes |= {f"{block}.{norm}": (channels,) for norm in ("norm1", "norm2")}
            shapes[f"{block}{attention}.qkv"] = (3 * channels, channels)
            shapes[f"{block}{attention}.proj"] = (channels, channels)
            shapes[f"{block}{attention}.relative_position_bias_table"] = (ways**2, 6)
            shapes[f"{block}.mlp.fc1"] = (2 * channels, channels)
            shapes[f"{block}.mlp.fc2"] = (channels, 2 * channels)
    if direct:
        return shapes | {"upsample.0": (scale**2 * bands, channels, 3)}
    shapes |= {"conv_before_upsample.0": (64, channels, 3), "conv_last": (bands, 64, 3)}
    return shapes | _steps("upsample", scale, 64)


def _conv(tensors, layer, picture):
    weight = tensors[f"{layer}.weight"]
    return functional.conv2d(picture[None], weight, tensors[f"{layer}.bias"], padding=weight.shape[-1] // 2)[
        0
    ]


def _linear(tensors, layer, pixels):
    return pixels @ tensors[f"{layer}.weight"].T + tensors[f"{layer}.bias"]


def _norm(tensors, layer, pixels):
    """Over the last axis."""
    centered = pixels - pixels.mean(-1, keepdim=True)
    spread = (centered.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return centered / spread * tensors[f"{layer}.weight"] + tensors[f"{layer}.bias"]


def _unfold(tensors, features):
    """Sub-pixel convolutions."""
    prefix = "upsample" if "upsample.0.weight" in tensors else "tail.0"
    if "conv_before_upsample.0.weight" in tensors:
        features = functional.leaky_relu(_conv(tensors, "conv_before_upsample.0", features), 0.01)
    for step in itertools.count(0, 2):
        if f"{prefix}.{step}.weight" not in tensors:
            break
        given = features.shape[0] if "upsample" not in prefix or "conv_last.weight" in tensors else None
        features = _conv(tensors, f"{prefix}.{step}", features)
        bands = given or tensors["conv_first.weight"].shape[1]
        features = functional.pixel_shuffle(features, math.isqrt(features.shape[0] // bands))
    last = {"upsample": "conv_last", "tail.0": "tail.1"}[prefix]
    return _conv(tensors, last, features) if f"{last}.weight" in tensors else features


def _hspan_body(tensors, features):
    groups = len({name.split(".")[1] for name in tensors if name.startswith("body.")}) - 1
    for group in range(groups):
        inner, inside = features, f"body.{group}.body"
        count = sum(f"{inside}.{k}.body.0.weight" in tensors for k in range(9))
        for block in range(count):
            hidden = functional.relu(_conv(tensors, f"{inside}.{block}.body.0", inner))
            inner = inner + _conv(tensors, f"{inside}.{block}.body.2", hidden)
        one, other, given = (
            functional.prelu(
                _conv(tensors, f"{inside}.{count}.conv_{part}.0", inner),
                tensors[f"{inside}.{count}.conv_{part}.1.weight"],
            ).flatten(1)
            for part in ("match1", "match2", "assembly")
        )
        passed = torch.stack([_simplex(scores) for scores in one.T @ other]) @ given.T
        inner = inner + 0.1 * passed.T.reshape(inner.shape)
        features = features + 0.1 * _conv(tensors, f"{inside}.{count + 1}", inner)
    return _conv(tensors, f"body.{groups}", features)


def _simplex(scores):
    """The nearest weights that are not negative and sum to one, their threshold found by halving."""
    low, high = scores.max() - 1, scores.max()
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (scores - middle).clamp_min(0).sum() > 1 else (low, middle)
    return (scores - (low + high) / 2).clamp_min(0)


def _window_body(tensors, features):
    pixels = _norm(tensors, "patch_embed.norm", features.permute(1, 2, 0))
    groups = {name.split(".")[1] for name in tensors if name.startswith("layers.")}
    for group in sorted(groups):
        inner, inside = pixels, f"layers.{group}.residual_group"
        count = len({name.split(".")[4] for name in tensors if name.startswith(f"{inside}.blocks.")})
        for block in range(count):
            inner = _layer(tensors, f"{inside}.blocks.{block}", inner, shifted=bool(block % 2))
        if f"{inside}.overlap_attn.qkv.weight" in tensors:
            inner = _layer(tensors, f"{inside}.overlap_attn", inner, shifted=False)
        pixels = pixels + _conv(tensors, f"layers.{group}.conv", inner.permute(2, 0, 1)).permute(1, 2, 0)
    return _conv(tensors, "conv_after_body", _norm(tensors, "norm", pixels).permute(2, 0, 1))


def _layer(tensors, layer, pixels, *, shifted):
    asked = _norm(tensors, f"{layer}.norm1", pixels)
    overlaps = layer.endswith("overlap_attn")
    attended = (_overlapping if overlaps else _windows)(tensors, layer, asked, shifted)
    if f"{layer}.conv_block.cab.0.weight" in tensors:
        beside = asked.permute(2, 0, 1)
        hidden = functional.gelu(_conv(tensors, f"{layer}.conv_block.cab.0", beside))
        found = _conv(tensors, f"{layer}.conv_block.cab.2", hidden)
        mean = found.mean((1, 2), keepdim=True)
        squeezed = functional.relu(_conv(tensors, f"{layer}.conv_block.cab.3.attention.1", mean))
        weight = torch.sigmoid(_conv(tensors, f"{layer}.conv_block.cab.3.attention.3", squeezed))
        attended = attended + 0.01 * (found * weight).permute(1, 2, 0)
    pixels = pixels + attended
    hidden = functional.gelu(_linear(tensors, f"{layer}.mlp.fc1", _norm(tensors, f"{layer}.norm2", pixels)))
    return pixels + _linear(tensors, f"{layer}.mlp.fc2", hidden)


def _windows(tensors, layer, pixels, shifted):
    """Attention within windows, those of a rolled raster only with pixels of the same region."""
    table = tensors[f"{layer}.attn.relative_position_bias_table"]
    side = (math.isqrt(len(table)) + 1) // 2
    shift = side // 2 if shifted else 0
    rolled, answered = pixels.roll((-shift, -shift), (0, 1)), torch.zeros_like(pixels)
    height, width = pixels.shape[:2]
    rows = torch.arange(side).repeat_interleave(side)
    columns = torch.arange(side).repeat(side)
    index = (rows[:, None] - rows + side - 1) * (2 * side - 1) + columns[:, None] - columns + side - 1
    for top, left in itertools.product(range(0, height, side), range(0, width, side)):
        part = slice(top, top + side), slice(left, left + side)
        query, key, value = _linear(tensors, f"{layer}.attn.qkv", rolled[part].flatten(0, 1)).chunk(3, -1)
        region = 2 * (top + rows >= height - shift) + (left + columns >= width - shift)
        apart = -100.0 * (region[:, None] != region)
        answered[part] = _attend(query, key, value, table[index], apart).reshape(side, side, -1)
    return _linear(tensors, f"{layer}.attn.proj", answered.roll((shift, shift), (0, 1)))


def _overlapping(tensors, layer, pixels, _shifted):
    """Attention of windows to wider ones, zeros beyond the raster."""
    table, side = tensors[f"{layer}.relative_position_bias_table"], 4
    wide = math.isqrt(len(table)) + 1 - side
    query, key, value = _linear(tensors, f"{layer}.qkv", pixels).chunk(3, -1)
    over = (wide - side) // 2
    key, value = (functional.pad(part, (0, 0, over, over, over, over)) for part in (key, value))
    own, seen = torch.arange(side), torch.arange(wide)
    ways = seen[None] - own[:, None] + side - wide + 1  # below zero: counted from the table's end
    index = ways[:, None, :, None] * (side + wide - 1) + ways[None, :, None, :]
    biases, answered = table[index.reshape(side**2, wide**2)], torch.zeros_like(pixels)
    height, width = pixels.shape[:2]
    for top, left in itertools.product(range(0, height, side), range(0, width, side)):
        part = slice(top, top + side), slice(left, left + side)
        around = slice(top, top + wide), slice(left, left + wide)
        parts = query[part].flatten(0, 1), key[around].flatten(0, 1), value[around].flatten(0, 1)
        answered[part] = _attend(*parts, biases, 0.0).reshape(side, side, -1)
    return _linear(tensors, f"{layer}.proj", answered)


def _attend(query, key, value, biases, apart):
    heads = biases.shape[-1]
    mixed = []
    for head, (one, other, given) in enumerate(
        zip(*(part.chunk(heads, -1) for part in (query, key, value)), strict=True)
    ):
        likeness = one @ other.T / math.sqrt(one.shape[-1]) + biases[..., head] + apart
        mixed.append(likeness.softmax(-1) @ given)
    return torch.cat(mixed, -1)
