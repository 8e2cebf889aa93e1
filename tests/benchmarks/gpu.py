"""What the devices of this machine do: windows, steps of training, scenes at once; a GPU against the CPU.

    python -m tests.benchmarks.gpu [--side 256] [--scale 4] [--at-once 1 2 4 8]

Without a GPU only the rows of the CPU are printed, by the same code. Seconds of a CPU are process seconds,
those of scenes at once are wall seconds. How busy a GPU is, `nvidia-smi` says twice a second.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from pipeline.grid import Window
from pipeline.recipe import Recipe
from pipeline.recipe_files import load_prior
from pipeline.settings_sources import load_settings
from pipeline.superres.enhance import enhance
from pipeline.superres.training.pairs import Batch
from pipeline.superres.training.state import TrainState
from pipeline.superres.training.step import Step
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
    """Of a convolution of 32 channels in bfloat16; of maps so small that new memory costs little."""
    maps = torch.randn(1, 32, 256, 256, device=device, dtype=torch.bfloat16)
    maps = maps.to(memory_format=torch.channels_last)
    weights = torch.randn(32, 32, 3, 3, device=device, dtype=torch.bfloat16)
    flop = 2.0 * 32 * 32 * 9 * 256**2
    with torch.inference_mode():
        return flop / best_s(lambda: torch.conv2d(maps, weights, padding=1), device)


def recipe_of(preset: str, scale: int) -> Recipe:
    """The recipe of the rows: a prior as it is, so that no training is in a window's seconds."""
    assignments = [f"recipe.scale={scale}", f"recipe.preset={preset}", "recipe.detail=prior"]
    return load_settings(assignments=assignments, environment={}).recipe


def memory_mib(device: torch.device) -> str:
    """Most memory that was held on a GPU since the last question; nothing for a CPU."""
    if device.type == "cpu":
        return ""
    most = torch.cuda.max_memory_reserved(device) >> 20
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return str(most)


def row(preset: str, side_px: int, scale: int, device: torch.device) -> tuple[str, np.ndarray]:
    """A row of the table, and the kelvin of the window."""
    rng = np.random.default_rng(0)
    scene = scene_of(synthetic_truth(3 * side_px, rng).astype(np.float32))
    recipe = recipe_of(preset, scale)
    made = enhance(scene, recipe, device=device, prior=load_prior(recipe))
    window = Window(side_px, side_px, side_px, side_px)
    seconds = best_s(lambda: made.compute(window), device)
    megapixels = (side_px * scale) ** 2 / 1e6
    cells = f"{preset} | {device} | {seconds:.2f} | {megapixels / seconds:.2f} | {memory_mib(device)}"
    return f"| {cells} |", made.compute(window).temperature


def training_row(batch: int, scale: int, device: torch.device) -> str:
    """Steps of training a second on patches of 24 pixels."""
    recipe = load_settings(assignments=[f"recipe.scale={scale}"], environment={}).recipe.resolved()
    prior = load_prior(recipe)
    assert prior is not None
    network = prior.network(scale).to(device)
    lr = 300 + torch.randn(batch, 1, 24, 24, device=device)
    base = torch.nn.functional.interpolate(lr, scale_factor=scale, mode="bicubic")
    patches = Batch(lr, base, base + 0.1, torch.ones_like(base), torch.zeros_like(lr[:, :, :1, :1]))
    state, step = TrainState.begin(dict(network.named_parameters())), Step(network, recipe.train)
    seconds = best_s(lambda: step(state, patches), device)
    return f"| {batch} | {device} | {1 / seconds:.0f} | {batch / seconds:.0f} | {memory_mib(device)} |"


def scenes_row(at_once: int, side_px: int, scale: int, device: torch.device) -> str:
    """Scenes an hour, from kelvin to kelvin, `at_once` threads; nothing is read nor written."""
    recipe = recipe_of("balanced", scale)
    scene = scene_of(synthetic_truth(scale * side_px, np.random.default_rng(1))[::scale, ::scale].copy())
    prior, whole = load_prior(recipe), Window(0, 0, side_px, side_px)

    def one(_number: int) -> None:
        enhance(scene, recipe, device=device, prior=prior).compute(whole)

    one(0)
    memory_mib(device)
    count, start, watch = 2 * at_once, time.perf_counter(), Utilization(device)
    with watch, ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, range(count)))
    per_hour = 3600 * count / (time.perf_counter() - start)
    return f"| {at_once} | {device} | {per_hour:.0f} | {watch.percent} | {memory_mib(device)} |"


class Utilization:
    """How busy a GPU is inside a block, in percent; of a CPU nothing is said. Changes itself."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.seen, self.stop = device, list[float](), threading.Event()
        self.asks = threading.Thread(target=self._ask)

    def __enter__(self) -> None:
        if self.device.type == "cuda":
            self.asks.start()

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        if self.asks.ident is not None:
            self.asks.join()

    def _ask(self) -> None:
        number = str(self.device.index or 0)
        wanted = ["nvidia-smi", "-i", number, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        while not self.stop.wait(0.5):
            said = subprocess.run(wanted, capture_output=True, text=True, check=False)
            self.seen += [float(said.stdout)] if said.returncode == 0 else []

    @property
    def percent(self) -> str:
        """Mean of what was seen."""
        return f"{statistics.mean(self.seen):.0f} %" if self.seen else ""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 2, 4, 8])
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
    print(
        "\n| patches a step | device | steps a second | patches a second | GPU MiB |\n|---|---|---|---|---|"
    )
    for device in devices:
        for batch in (8, 64):
            print(training_row(batch, arguments.scale, device), flush=True)
    print("\n| scenes at once | device | scenes an hour | GPU busy | GPU MiB |\n|---|---|---|---|---|")
    for device in devices if len(devices) == 1 else devices[1:]:
        for at_once in arguments.at_once:
            print(scenes_row(at_once, arguments.side, arguments.scale, device), flush=True)


if __name__ == "__main__":
    main()
