import numpy as np

from pipeline import memory, raster
from pipeline.memory import copied, empty_array, forget_peak, give_back, peak_mib
from pipeline.raster import in_bands


def test_a_large_array_gives_its_memory_back_and_keeps_its_numbers():
    held = copied(np.broadcast_to(np.arange(2**13, dtype=np.float32), (6000, 2**13)))  # 188 MiB
    forget_peak()
    before = peak_mib()
    give_back()
    forget_peak()
    assert peak_mib() <= before - 150
    np.testing.assert_array_equal(held[[0, 4000, -1]], [np.arange(2**13)] * 3)
    held += 1  # still an array like any other
    assert held[-1, -1] == 2**13


def test_a_small_array_lies_in_memory(monkeypatch):
    monkeypatch.setattr(memory.tempfile, "TemporaryFile", None)
    assert empty_array((10, 10), np.float32).shape == (10, 10)


def test_where_the_disk_is_full_a_large_array_lies_in_memory_and_that_is_said(monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(memory.os, "posix_fallocate", full)
    held = empty_array((5000, 5000), np.float32)
    assert held.shape == (5000, 5000)
    assert not memory._files
    assert "lie in memory" in caplog.text


def test_bands_in_files_are_the_bands_in_memory(monkeypatch):
    values = np.random.default_rng(0).normal(size=(50, 40)).astype(np.float32)
    monkeypatch.setattr(raster, "BAND_PIXELS", 200)
    in_memory = in_bands(lambda part: part * 2, 0, values)
    monkeypatch.setattr(memory, "LARGE_BYTES", 0)
    np.testing.assert_array_equal(in_bands(lambda part: part * 2, 0, values), in_memory)
