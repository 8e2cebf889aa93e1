"""A product is made again from its record: the same pixels, whatever the number of threads."""

import json
import shutil

import numpy as np
import pytest
import torch
import zarr

from pipeline.desk.rerun import OTHER_STACK_RMS_K, TRAINED_ELSEWHERE_RMS_K, rerun
from pipeline.errors import DamagedProductError, SettingsError, UnusableInputError
from pipeline.nights.night import plan_night
from pipeline.process import process_scene
from pipeline.settings import RunSettings
from pipeline.settings_sources import load_settings
from pipeline.trials.simulate import synthetic_truth

RULE = '{pattern = "*.npz", units = "degC", quantity = "surface_temperature"}'
NATIVE = {True: {"avx512_bf16": True}, False: {}}


def make(folder, *told):
    """Folder of the one product of an archive of one scene, made on one thread by a rule of the archive."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cpu, "get_capabilities", lambda: NATIVE[True])
        celsius = synthetic_truth(48, np.random.default_rng(3)) - 273.15
        (folder / "archive").mkdir()
        place = {"crs": "EPSG:32633", "transform": np.array([70.0, 0, 400_000, 0, -70, 5_300_000])}
        np.savez(folder / "archive" / "scene.npz", temperature=celsius.astype(np.float32), **place)
        roots = (f"archive.root={folder / 'archive'}", f"output.root={folder / 'out'}")
        more = ("archive.settle_s=0", "recipe.scale=2", "run.threads=1", f"archive.products=[{RULE}]")
        settings = load_settings(assignments=[*roots, *more, *told], environment={})
        (ref,) = plan_night(settings).todo
        settings.output.root.mkdir()
        plan_night(settings)  # remembers where it saw the scene
        return settings.output.root / process_scene(ref, settings).product


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A product whose network took steps on the scene."""
    yield make(tmp_path_factory.mktemp("made"))
    torch.set_num_threads(1)


@pytest.fixture
def product(made, tmp_path):
    """A copy of it that a test may change."""
    return shutil.copytree(made, tmp_path / "out" / made.name)


def again(product, archive, tmp_path, *, threads=1, bfloat16=True):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cpu, "get_capabilities", lambda: NATIVE[bfloat16])
        try:
            return rerun(product, archive, tmp_path / "again", RunSettings(device="cpu", threads=threads))
        finally:
            torch.set_num_threads(1)


def archive_of(made):
    return (
        made.parents[3].parent / "archive"
        if made.parent.name != "undated"
        else made.parents[2].parent / "archive"
    )


@pytest.mark.parametrize("threads", [1, 4])
def test_pixels_are_equal_to_the_bit_on_any_number_of_threads(made, tmp_path, threads):
    answer = again(made, None, tmp_path, threads=threads)
    assert answer.verdict == "equal to the bit"
    assert {name: change.differing for name, change in answer.changes.items()} == dict.fromkeys(
        ("surface_temperature", "surface_temperature_uncertainty", "quality_flag"), 0
    )
    assert answer.stack == {}
    assert all(name.endswith((".json", ".tif")) for name in answer.files)


def test_a_machine_without_bfloat16_stays_within_the_stated_tolerance(made, tmp_path):
    answer = again(made, None, tmp_path, bfloat16=False)
    assert answer.stack == {"bfloat16": ("computed", "rounded")}
    assert 0 < answer.changes["surface_temperature"].rms <= TRAINED_ELSEWHERE_RMS_K
    assert answer.good
    assert "on another stack, where 50 mK RMS are allowed" in answer.verdict


def test_without_steps_on_the_scene_another_machine_comes_much_closer(tmp_path):
    answer = again(make(tmp_path, "recipe.preset=fast"), None, tmp_path, bfloat16=False)
    assert 0 < answer.changes["surface_temperature"].rms <= OTHER_STACK_RMS_K
    assert answer.good
    assert "on another stack, where 10 mK RMS are allowed" in answer.verdict


def test_a_pixel_that_was_changed_is_found(product, made, tmp_path):
    (store,) = product.glob("*.zarr")
    zarr.open_group(store, mode="r+")["surface_temperature"][5, 6] += 0.001
    answer = again(product, archive_of(made), tmp_path)
    assert answer.changes["surface_temperature"].differing == 1
    assert answer.verdict.endswith("on the same software and machine: it should be equal to the bit")
    assert not answer.good


def test_a_scene_that_is_elsewhere_is_asked_for(product, tmp_path):
    with pytest.raises(
        UnusableInputError, match=r"scene\.npz with the content \w{8} is wanted where the last"
    ):
        again(product, None, tmp_path)


def test_a_record_that_says_nothing_of_its_making_is_damaged(product, made, tmp_path):
    record = json.loads((product / "record.json").read_text())
    (product / "record.json").write_text(json.dumps({**record, "provenance": {}}))
    with pytest.raises(DamagedProductError, match=r"record\.json does not say how it was made: 'recipe'"):
        again(product, archive_of(made), tmp_path)


def test_a_prior_that_is_gone_is_a_matter_of_settings_and_no_damage(product, made, tmp_path):
    record = json.loads((product / "record.json").read_text())
    record["provenance"]["recipe"] |= {"prior": "gone.safetensors"}
    (product / "record.json").write_text(json.dumps(record))
    with pytest.raises(SettingsError, match=r"setting recipe\.prior: .* found 'gone\.safetensors'"):
        again(product, archive_of(made), tmp_path)


def test_the_record_names_versions_of_packages_and_the_commit(made):
    software = json.loads((made / "record.json").read_text())["provenance"]["software"]
    assert {"torch", "numpy", "scipy", "rasterio", "pyproj", "thermal-sr", "python"} <= set(software)
    assert len(software["commit"].split()[0]) == 40
