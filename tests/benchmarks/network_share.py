"""What share of a device's convolution peak the network reaches: on a piece, and in a step of training.

    python -m tests.benchmarks.network_share [--scale 4] [--compile]

The arithmetic counted is that of the convolutions; a step of training counts three times that of its look.
With --compile, `torch.compile` is tried on the same piece: its seconds until the first answer, and after.
"""

from __future__ import annotations

import argparse
import time

import torch

from pipeline.recipe_files import load_prior
from pipeline.settings_sources import load_settings
from pipeline.superres.networks.detail import DetailNetwork
from pipeline.superres.networks.device import body_precision
from pipeline.superres.training.pairs import Batch
from pipeline.superres.training.state import TrainState
from pipeline.superres.training.step import Step
from tests.benchmarks.gpu import best_s, peak_flop_s

SIDE_PX = 310  # a window of 256 with what the network looks at around it


def arithmetic(network: DetailNetwork, lr: torch.Tensor, base: torch.Tensor) -> float:
    """Floating point operations of the convolutions of one look."""
    total = [0.0]

    def count(layer: torch.nn.Conv2d, _seen: object, answer: torch.Tensor) -> None:
        height, width = layer.kernel_size
        total[0] += 2.0 * answer.numel() * layer.in_channels // layer.groups * height * width

    layers = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    network(lr, base)
    for hook in hooks:
        hook.remove()
    return total[0]


def pictures(count: int, side_px: int, scale: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Coarse and enlarged, (n, 1, y, x) each."""
    lr = 300 + torch.randn(count, 1, side_px, side_px, device=device)
    return lr, torch.nn.functional.interpolate(lr, scale_factor=scale, mode="bicubic")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    recipe = load_settings(assignments=[f"recipe.scale={arguments.scale}"], environment={}).recipe.resolved()
    prior = load_prior(recipe)
    assert prior is not None
    network = prior.network(arguments.scale).to(device).eval()
    network.to(memory_format=torch.channels_last)
    peak, precision = peak_flop_s(device), recipe.train.mixed_precision
    print(f"{device}: {peak / 1e9:.0f} GFLOP/s in a convolution in bfloat16\n")
    print("| what | GFLOP | s | share of the peak |\n|---|---|---|---|", flush=True)
    lr, base = pictures(1, SIDE_PX, arguments.scale, device)

    def look(applied: torch.nn.Module) -> torch.Tensor:
        with torch.inference_mode(), body_precision(precision, device):
            return applied(lr, base)

    def row(what: str, flop: float, seconds: float) -> None:
        print(f"| {what} | {flop / 1e9:.1f} | {seconds:.3f} | {flop / seconds / peak:.0%} |", flush=True)

    flop = arithmetic(network, lr, base)
    row("applied to a piece", flop, best_s(lambda: look(network), device))
    coarse, enlarged = pictures(recipe.pairs.batch, recipe.pairs.crop_px or 24, arguments.scale, device)
    batch = Batch(
        coarse, enlarged, enlarged + 0.1, torch.ones_like(enlarged), torch.zeros_like(coarse[:, :, :1, :1])
    )
    state, step = TrainState.begin(dict(network.named_parameters())), Step(network, recipe.train)
    row(
        "a step of training",
        3 * arithmetic(network, coarse, enlarged),
        best_s(lambda: step(state, batch), device),
    )
    if arguments.compile:
        start, compiled = time.perf_counter(), torch.compile(network, dynamic=False)
        look(compiled)
        print(f"torch.compile: {time.perf_counter() - start:.1f} s until its first answer")
        row("the same, compiled", flop, best_s(lambda: look(compiled), device))


if __name__ == "__main__":
    main()
