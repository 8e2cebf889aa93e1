"""How fast windows are computed, on every device of this machine, and how far a GPU is from the CPU.

    python -m tests.benchmarks.gpu [--side 256] [--scale 4]

Without a GPU only the rows of the CPU are printed, by the same code.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from pipeline.grid import Window
from pipeline.recipe_files import load_prior
from pipeline.settings_sources import load_settings
from pipeline.superres.enhance import enhance
from pipeline.trials.simulate import synthetic_truth
from tests.scenes import scene_of

ROUNDS = 3


def best_s(run: Callable[[], object], device: torch.device) -> float:
    """The shortest of a few runs; process seconds on a CPU, where others may load it."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    run()
    taken = []
    for _ in range(ROUNDS):
        start = clock()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(clock() - start)
    return min(taken)


def peak_flop_s(device: torch.device) -> float:
    """Of a convolution of 32 channels in bfloat16."""
    maps = torch.randn(8, 32, 256, 256, device=device, dtype=torch.bfloat16)
    maps = maps.to(memory_format=torch.channels_last)
    weights = torch.randn(32, 32, 3, 3, device=device, dtype=torch.bfloat16)
    flop = 2.0 * 32 * 32 * 9 * 8 * 256**2
    with torch.inference_mode():
        return flop / best_s(lambda: torch.conv2d(maps, weights, padding=1), device)


def row(preset: str, side_px: int, scale: int, device: torch.device) -> tuple[str, np.ndarray]:
    """A row of the table, and the kelvin of the window."""
    rng = np.random.default_rng(0)
    scene = scene_of(synthetic_truth(3 * side_px, rng).astype(np.float32))
    assignments = [f"recipe.scale={scale}", f"recipe.preset={preset}", "recipe.detail=prior"]
    recipe = load_settings(assignments=assignments, environment={}).recipe
    prior = load_prior(recipe)
    made = enhance(scene, recipe, device=device, prior=prior)
    window = Window(side_px, side_px, side_px, side_px)
    seconds = best_s(lambda: made.compute(window), device)
    megapixels = (side_px * scale) ** 2 / 1e6
    memory = f"{torch.cuda.max_memory_reserved(device) >> 20}" if device.type == "cuda" else ""
    cells = f"{preset} | {device} | {seconds:.2f} | {megapixels / seconds:.2f} | {memory}"
    return f"| {cells} |", made.compute(window).temperature


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--scale", type=int, default=4)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    devices = [torch.device("cpu"), *(torch.device("cuda", n) for n in range(torch.cuda.device_count()))]
    for device in devices:
        print(f"{device}: {peak_flop_s(device) / 1e9:.0f} GFLOP/s in a convolution in bfloat16")
    print("\n| preset | device | s a window | output megapixels a second | GPU MiB |\n|---|---|---|---|---|")
    for preset in ("fast", "balanced"):
        kelvin = []
        for device in devices:
            line, answer = row(preset, arguments.side, arguments.scale, device)
            print(line, flush=True)
            kelvin.append(answer)
        for device, answer in zip(devices[1:], kelvin[1:], strict=True):
            rms_mk = 1e3 * float(np.sqrt(np.nanmean((answer - kelvin[0]).astype(np.float64) ** 2)))
            print(f"{preset}: {device} against the CPU {rms_mk:.2f} mK RMS (5 at most)")


if __name__ == "__main__":
    main()
