"""The original's function and files: one file in, kelvin and network out, under its own names."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.desk.satellite_data import process_satellite_data
from pipeline.errors import SettingsError, UnusableInputError
from pipeline.products.publish import verify
from tests.scenes import truth_and_lr

SMALL = {"NUM_ITERATIONS": 2, "CROP_SIZE": 8, "CHANNELS": 8, "NUM_BLOCKS": 1, "NUM_SHIFT_PASSES": 1}


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    path = tmp_path_factory.mktemp("satellite") / "scene.npz"
    place = {"crs": "EPSG:32633", "transform": [70, 0, 500_000, 0, -70, 5e6]}
    np.savez(path, data=truth_and_lr(160, 4, seed=3)[1], units="K", **place)
    return path


@pytest.fixture(scope="module")
def processed(scene):
    out = scene.parent / "results"
    return out, process_satellite_data(scene, SR_FACTOR=4, OUTPUT_DIR=out, USE_TTA=False, **SMALL)


def test_it_gives_kelvin_and_the_network(scene, processed):
    _, (enhanced, model) = processed
    lr = np.load(scene)["data"]
    assert (enhanced.shape, enhanced.dtype) == ((4 * lr.shape[0], 4 * lr.shape[1]), np.float32)
    assert np.abs(enhanced.mean() - lr.mean()) < 5
    assert sum(parameter.numel() for parameter in model.parameters()) > 1000


def test_the_product_holds_the_originals_eight_files_under_its_names(scene, processed):
    out, (enhanced, model) = processed
    product = next(out.rglob("MANIFEST.json")).parent
    verify(product)  # they are in the manifest
    found = {}
    for file in product.iterdir():
        if name := re.fullmatch(r"(.*)_sr4_lr5\.0e-05_\d{8}_\d{6}\.(png|npy|pth)", file.name):
            found[name[1]] = file
    pictures = {"original_turbo", "enhanced_turbo", "original_gray", "enhanced_gray", "comparison"}
    assert found.keys() == pictures | {"original_data", "enhanced_data", "attention_zssr"}
    np.testing.assert_array_equal(np.load(found["original_data"]), np.load(scene)["data"])
    np.testing.assert_array_equal(np.load(found["enhanced_data"]), enhanced)
    with Image.open(found["enhanced_turbo"]) as picture:
        assert picture.size[1] >= enhanced.shape[0]
    state = torch.load(found["attention_zssr"], weights_only=True)
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())


def test_what_cannot_work_is_said_in_one_line(tmp_path):
    (tmp_path / "notes.txt").write_text("no scene")
    with pytest.raises(UnusableInputError, match="is no NetCDF: it begins with"):
        process_satellite_data(tmp_path / "notes.txt", OUTPUT_DIR=tmp_path / "out")
    with pytest.raises(SettingsError, match="setting NUM_STEPS is unknown"):
        process_satellite_data(tmp_path / "notes.txt", NUM_STEPS=3)
