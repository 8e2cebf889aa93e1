"""Two products of one scene are compared in kelvin, with the reasons that their records give."""

import json
import shutil

import numpy as np
import pytest
import rasterio
from PIL import Image
from typer.testing import CliRunner

from flows.cli import app
from pipeline.desk.difference import difference, pairs
from pipeline.errors import UnusableInputError
from pipeline.nights.night import plan_night
from pipeline.process import process_scene
from pipeline.settings_sources import load_settings

PLACE = {"crs": "EPSG:32633", "transform": np.array([70.0, 0, 400_000, 0, -70, 5_300_000])}


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    """Products of one scene at x2, at x2 with another blur, and at x4, all without a network."""
    folder = tmp_path_factory.mktemp("difference")
    (folder / "archive").mkdir()
    draw = np.random.default_rng(4)
    kelvin = (300 + np.cumsum(draw.normal(0, 0.4, (24, 20)), axis=1)).astype(np.float32)
    kelvin[:3, :3] = np.nan
    np.savez(folder / "archive" / "scene.npz", temperature=kelvin, units="K", **PLACE)
    made = []
    for more in (
        ("recipe.scale=2",),
        ("recipe.scale=2", "recipe.degrade.psf_sigma_px=0.6"),
        ("recipe.scale=4",),
    ):
        roots = (f"archive.root={folder / 'archive'}", f"output.root={folder / 'out'}")
        words = [*roots, "archive.settle_s=0", "recipe.detail=none", "run.device=cpu", *more]
        settings = load_settings(assignments=words, environment={})
        (ref,) = plan_night(settings).todo
        made.append(settings.output.root / process_scene(ref, settings).product)
    return made


def kelvin_of(product):
    with rasterio.open(next(product.glob("*_x?.tif"))) as raster:
        return raster.read(1)


def test_the_figures_are_those_of_the_pixels(products, tmp_path):
    first, second, _ = products
    found = difference(first, second, tmp_path)
    delta = (kelvin_of(second) - kelvin_of(first)).astype(np.float64)
    assert found.pixels == np.isfinite(delta).sum() == 40 * 48 - 36
    assert found.only_one == 0
    assert found.mean_k == pytest.approx(np.nanmean(delta), abs=1e-9)
    assert found.rms_k == pytest.approx(np.sqrt(np.nanmean(delta**2)))
    assert found.largest_k == pytest.approx(np.nanmax(np.abs(delta)))
    with rasterio.open(tmp_path / f"{second.name}_delta_k.tif") as raster:
        np.testing.assert_array_equal(raster.read(1), delta.astype(np.float32))
        assert raster.crs.to_epsg() == 32633
        assert raster.transform.a == 35
    with Image.open(tmp_path / f"{second.name}_delta_k.png") as picture:
        assert min(picture.size) > 300


def test_the_reason_is_the_setting_that_changed(products):
    reasons = difference(products[0], products[1]).reasons
    assert "recipe.degrade.psf_sigma_px: not there -> 0.6" in reasons
    assert not [reason for reason in reasons if "seed" in reason or "torch" in reason]


def test_a_product_is_equal_to_itself(products):
    found = difference(products[0], products[0])
    assert (found.rms_k, found.largest_k, found.beyond_fraction, found.reasons) == (0, 0, 0, ())


def test_a_finer_product_is_averaged_to_the_coarser(products):
    found = difference(products[2], products[0])
    fine = kelvin_of(products[2]).astype(np.float64)
    means = fine.reshape(48, 2, 40, 2).mean(axis=(1, 3))
    assert found.rms_k == pytest.approx(np.sqrt(np.nanmean((kelvin_of(products[0]) - means) ** 2)), rel=1e-4)
    assert "recipe.scale: 4 -> 2" in found.reasons


def test_archives_are_compared_scene_by_scene(products):
    first, second, _ = products
    answer = CliRunner().invoke(app, ["diff", str(first.parents[1]), str(second.parents[1])])
    assert answer.exit_code == 0
    assert second.name in answer.output
    assert "recipe.degrade.psf_sigma_px: not there -> 0.6" in answer.output


def test_another_version_of_the_code_is_named(products, tmp_path):
    older = shutil.copytree(products[0], tmp_path / products[0].name)
    manifest = json.loads((older / "MANIFEST.json").read_text())
    (older / "MANIFEST.json").write_text(json.dumps({**manifest, "code_version": "0.0.1"}, indent=1))
    assert difference(older, products[0]).reasons[0].startswith("code version: 0.0.1 -> ")


def test_a_folder_with_two_products_of_a_scene_asks_for_a_recipe(products):
    out = products[0].parents[2]
    with pytest.raises(
        UnusableInputError, match=r"holds two products of one scene, .*name a recipe's folder"
    ):
        pairs(out, out)


def test_scenes_that_have_nothing_in_common_are_said(products, tmp_path):
    other = shutil.copytree(products[0], tmp_path / "other")
    text = (other / "MANIFEST.json").read_text()
    digest = json.loads(text)["content_digest"]
    (other / "MANIFEST.json").write_text(text.replace(digest, "0" * 64, 1))
    with pytest.raises(UnusableInputError, match="have no scene in common"):
        pairs(products[0], other)
