import os
import threading

import numpy as np
import pytest
import torch

from pipeline.grid import Window
from pipeline.raster import cut_mirrored
from pipeline.recipe import Recipe
from pipeline.recipe_settings import InferSettings
from pipeline.superres.applying.enlarge import base_upscaler, network_upscaler
from pipeline.superres.applying.passes import passes
from pipeline.superres.applying.windows import BORDER_PX, compute_passes, compute_window
from pipeline.superres.bases.base import bicubic_base
from pipeline.superres.networks import build_network, detail_unit, device
from pipeline.superres.networks.device import device_lock, sees_everything, share_threads
from pipeline.superres.sensing.holes import fill_nearest
from pipeline.superres.sensing.normalize import Normalization
from tests.superres.upscalers import SmallNetwork, hills, landscape, map_tiles

CPU = torch.device("cpu")


class Smoother(torch.nn.Module):
    """Smooths the base over a window of HR pixels; with no units of its own."""

    reach_px = 1

    def __init__(self, window_px):
        super().__init__()
        self.pool = torch.nn.AvgPool2d(window_px, 1, window_px // 2, count_include_pad=False)

    def forward(self, lr, base):
        return self.pool(base)


def trained(size="small", name="attention", scale=4, **changes):
    """A network of the project that adds detail of half a kelvin, as after a training."""
    settings = Recipe(scale=scale, network={"size": size, "name": name, **changes}).resolved().network
    network = build_network(settings, scale, seed=0)
    last = [module for module in network.head.modules() if isinstance(module, torch.nn.Conv2d)][-1]
    torch.nn.init.normal_(last.weight, std=0.05, generator=torch.Generator().manual_seed(1))
    scene = torch.from_numpy(landscape(64, 64))
    network.calibrate(unit=detail_unit(scene, torch.isfinite(scene)), sigma=0.5)
    return network


def whole(up, lr):
    return compute_window(up, lr, Window(0, 0, *lr.shape))


def rms(values):
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


@pytest.mark.parametrize("units", [None, Normalization(280.0, 17.0, "percentile")])
def test_an_untrained_network_is_its_base_to_the_last_bit(units):
    network = build_network(Recipe().resolved().network, 4, seed=0)
    up = network_upscaler(network, base=bicubic_base(4), units=units, device=CPU)
    lr = landscape(30, 30)
    np.testing.assert_array_equal(up(lr), bicubic_base(4)(lr))


def test_units_do_not_change_what_a_network_in_its_own_units_adds():
    base, lr = bicubic_base(2), landscape(24, 24)
    plain = network_upscaler(Smoother(3), base=base, device=CPU)(lr)
    units = Normalization(280.0, 17.0, "percentile")
    np.testing.assert_allclose(
        network_upscaler(Smoother(3), base=base, units=units, device=CPU)(lr), plain, rtol=0, atol=1e-4
    )


def test_clipping_units_cut_the_answer_too():
    units = Normalization(280.0, 10.0, "percentile", clip=True)
    network = build_network(Recipe().resolved().network, 4, seed=0)
    hr = network_upscaler(network, base=bicubic_base(4), units=units, device=CPU)(landscape(30, 30))
    assert (hr.min(), hr.max()) == (280.0, 290.0)


@pytest.mark.parametrize("name", ["attention", "zssr", "srcnn"])
def test_the_reach_holds_for_the_networks_of_the_project(name):
    up = network_upscaler(trained(name=name), base=bicubic_base(4), device=CPU)
    side = 2 * up.reach_px + 9
    lr = landscape(side, side)
    touched = lr.copy()
    touched[side // 2, side // 2] += 30
    changed = np.argwhere(np.abs(up(touched) - up(lr)) > 1e-4) // 4
    assert np.abs(changed - side // 2).max() <= up.reach_px


def test_a_network_that_looks_around_in_its_base_reaches_farther_than_either():
    up = network_upscaler(Smoother(9), base=bicubic_base(4), device=CPU)
    lr, touched = landscape(21, 21), landscape(21, 21)
    touched[10, 10] += 30
    changed = np.argwhere(np.abs(up(touched) - up(lr)) > 1e-4) // 4
    assert np.abs(changed - 10).max() == up.reach_px == 3


@pytest.mark.parametrize("part", [{"norm": "group"}, {"attention_window_px": 0}])
def test_either_part_of_the_seeds_network_is_known_to_see_everything(part):
    up = network_upscaler(trained(**part), base=bicubic_base(4), device=CPU)
    lr, touched = landscape(90, 90), landscape(90, 90)
    touched[0, 0] += 30
    assert (up(touched) != up(lr))[-4:, -4:].any()
    assert up.reach_px is None


def test_the_small_network_does_not_see_everything():
    assert not sees_everything(trained())


@pytest.mark.parametrize("tile_px", [17, 32, 48, 50, 64])
def test_a_network_of_the_project_is_the_same_by_tiles(tile_px):
    up = network_upscaler(trained(), base=bicubic_base(4), device=CPU)
    lr = landscape(70, 66)
    tiled = map_tiles(lambda window: compute_window(up, lr, window), lr.shape, tile_px, 4)
    np.testing.assert_allclose(tiled, whole(up, lr), rtol=0, atol=1e-3)
    assert rms(tiled - whole(up, lr)) <= 1e-4


@pytest.mark.parametrize("tile_px", [23, 40, 64])
def test_a_real_scene_is_the_same_by_tiles(real_scenes, tile_px):
    with np.load(real_scenes / "npz" / "ECOSTRESS_LA_2023217182715_crop512_K.npz") as file:
        lr = fill_nearest(file["temperature"][200:280, 100:170].astype(np.float32))
    up = network_upscaler(trained(), base=bicubic_base(4), device=CPU)
    ways = passes(up, InferSettings(), np.random.default_rng(0))[::3]
    together = compute_passes(ways, lr, Window(0, 0, *lr.shape), "mean")[0]
    tiled = map_tiles(lambda window: compute_passes(ways, lr, window, "mean")[0], lr.shape, tile_px, 4)
    assert rms(tiled - together) <= 1e-4


def test_a_narrower_mirror_does_as_well_as_one_as_wide_as_the_reach():
    up = network_upscaler(trained(), base=bicubic_base(4), device=CPU)
    lr = landscape(40, 40)
    reach = up.reach_px
    assert reach > BORDER_PX
    wide = up(cut_mirrored(lr, Window(-reach, -reach, 40 + 2 * reach, 40 + 2 * reach)))
    inside = (slice(4 * reach, -4 * reach),) * 2
    np.testing.assert_allclose(whole(up, lr), wide[inside], rtol=0, atol=1e-3)


def test_the_seeds_network_by_patches_is_the_same_by_tiles():
    up = network_upscaler(trained("original"), base=bicubic_base(4), device=CPU)
    strategy = InferSettings(mode="shifts", self_ensemble=False, num_shift_passes=1, patch_px=32)
    ways = passes(up, strategy, np.random.default_rng(0))
    lr = landscape(40, 50)
    together = compute_passes(ways, lr, Window(0, 0, 40, 50), "mean")[0]
    tiled = map_tiles(lambda window: compute_passes(ways, lr, window, "mean")[0], lr.shape, 25, 4)
    assert rms(tiled - together) <= 1e-4


def test_half_precision_costs_less_than_a_hundredth_of_a_kelvin():
    lr = landscape(48, 48)
    full = network_upscaler(trained(), base=bicubic_base(4), device=CPU)
    half = network_upscaler(trained(), base=bicubic_base(4), device=CPU, mixed_precision="bfloat16")
    assert 0 < rms(whole(half, lr) - whole(full, lr)) <= 0.01


def test_a_cpu_without_bfloat16_gives_the_same_pixels(monkeypatch):
    lr = landscape(48, 48)
    full, native = (
        whole(network_upscaler(trained(), base=bicubic_base(4), device=CPU, mixed_precision=precision), lr)
        for precision in ("off", "bfloat16")
    )
    monkeypatch.setattr(device, "computes_bfloat16", lambda _: False)
    up = network_upscaler(trained(), base=bicubic_base(4), device=CPU, mixed_precision="bfloat16")
    assert rms(whole(up, lr) - native) <= 0.1 * rms(full - native)


def test_applying_a_network_keeps_no_gradients_and_changes_no_weight():
    network = trained()
    before = [parameter.detach().clone() for parameter in network.parameters()]
    network_upscaler(network, base=bicubic_base(4), device=CPU)(landscape(20, 20))
    assert all(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_base_alone_is_an_upscaler():
    up = base_upscaler(bicubic_base(4))
    assert (up.scale, up.reach_px) == (4, bicubic_base(4).reach_px)
    np.testing.assert_array_equal(up(hills(12, 9)), bicubic_base(4)(hills(12, 9)))


def test_one_thread_at_a_time_talks_to_a_gpu():
    first, again = device_lock(torch.device("cuda:0")), device_lock(torch.device("cuda"))
    assert first is again
    assert first is not device_lock(torch.device("cuda:1"))
    with first:
        assert not again.acquire(blocking=False)


def test_a_cpu_may_be_shared():
    with device_lock(CPU), device_lock(CPU):
        pass


@pytest.fixture
def _threads_put_back():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_threads_put_back")
@pytest.mark.parametrize(
    ("workers", "asked", "cores", "wanted"), [(1, 0, 8, 8), (4, 0, 8, 2), (16, 0, 8, 1), (2, 3, 8, 3)]
)
def test_the_cores_are_shared_among_the_workers(monkeypatch, workers, asked, cores, wanted):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cores))
    assert share_threads(workers, asked) == wanted == torch.get_num_threads()


@pytest.mark.usefixtures("_threads_put_back")
def test_the_cores_are_shared_where_a_process_cannot_ask_for_its_own(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert share_threads(2) == 3


@pytest.mark.usefixtures("_threads_put_back")
def test_threads_that_start_later_use_the_same_share():
    share_threads(1, threads=3)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert seen == [3]


@pytest.mark.gpu_only
def test_a_gpu_gives_what_the_cpu_gives():
    lr = landscape(64, 64)
    on_cpu = network_upscaler(SmallNetwork(4), base=bicubic_base(4), device=CPU)
    on_gpu = network_upscaler(SmallNetwork(4), base=bicubic_base(4), device=torch.device("cuda"))
    assert rms(whole(on_gpu, lr) - whole(on_cpu, lr)) <= 0.01
