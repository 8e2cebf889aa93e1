"""A place of a product: the facts are the product's, the shares add up, and wrong places are refused."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from flows.cli import app
from pipeline.archive import read_scene
from pipeline.archive.discover import discover
from pipeline.desk.explain import box_in_scene, explain, seen_part, write_explanation
from pipeline.errors import DamagedProductError, UnusableInputError
from pipeline.grid import Window
from pipeline.process import process_scene
from pipeline.products.product_files import ProductFiles
from pipeline.products.store.zarr_store import open_store, temperature_name
from pipeline.settings_sources import load_settings
from pipeline.superres.prior.weights import Prior
from tests.scenes import truth_and_lr
from tests.superres.networks.published import as_pth, made

BOX = Window(40, 44, 12, 10)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The folder of a product, the scene it was made of, and the scene's file."""
    folder = tmp_path_factory.mktemp("explain")
    (folder / "archive").mkdir()
    path = folder / "archive" / "scene_20260801.npz"
    np.savez(path, temperature=truth_and_lr(96, 2, nedt_k=0.05, seed=8)[1])
    told = (
        f"archive.root={path}",
        f"output.root={folder / 'out'}",
        "archive.settle_s=0",
        "recipe.scale=2",
        "recipe.infer.self_ensemble=false",
    )
    settings = load_settings(assignments=told, environment={})
    (ref,) = discover(settings.archive).scenes
    record = process_scene(ref, settings)
    assert record.product, record.reason
    return settings.output.root / record.product, read_scene(ref, settings.archive), path


@pytest.fixture(scope="module")
def explained(published):
    return explain(published[0], published[1], BOX)


def test_what_is_told_of_the_place_is_what_the_store_holds(published, explained):
    product, scene, _ = published
    with open_store(ProductFiles(product, scene.ref.scene_id, 2).store) as store:
        kelvin = store[temperature_name(store)].values[BOX.slices]
    assert explained.facts["published_mean_k"] == pytest.approx(float(kelvin.mean()), abs=1e-4)
    assert sum(explained.facts["flags"].values()) == kelvin.size
    assert explained.facts["uncertainty_mean_k"] > 0


def test_base_and_what_was_learned_make_the_product_but_for_the_projection(explained):
    facts = explained.facts
    assert facts["gain"] > 0
    assert facts["learned_largest_k"] > 0
    together = facts["base_mean_k"] + facts["learned_mean_k"]
    assert together == pytest.approx(facts["published_mean_k"], abs=0.1)


def test_the_shares_are_complete_and_lie_around_the_place(explained):
    assert explained.facts["completeness_missing_fraction"] < 0.01
    assert explained.shares.shape == (explained.seen.height, explained.seen.width)
    strongest = np.unravel_index(np.abs(explained.shares).argmax(), explained.shares.shape)
    assert 18 <= strongest[0] <= 27
    assert 20 <= strongest[1] <= 28


def test_one_pixels_temperature_is_explained(published):
    found = explain(published[0], published[1], BOX, pixel=(45, 47))
    assert found.facts["completeness_missing_fraction"] < 0.01
    assert found.facts["pixel"] == [47, 45]
    assert found.facts["attribution_start_to_end"][1] == pytest.approx(found.facts["base_mean_k"], abs=10)


def test_facts_and_picture_are_written(explained, tmp_path):
    plain, picture = write_explanation(explained, tmp_path / "new")
    assert json.loads(plain.read_text())["diffusion_index"] == explained.facts["diffusion_index"]
    with Image.open(picture) as drawn:
        assert drawn.size[0] > 1000


def test_a_network_that_the_product_kept_is_read_and_not_taught_again(published, explained, tmp_path):
    _, scene, path = published
    told = ("recipe.train.steps=3", "recipe.gate.enabled=false", "recipe.prior=none", "recipe.scale=2")
    told += (f"archive.root={path}", f"output.root={tmp_path}", "archive.settle_s=0", "output.weights=true")
    settings = load_settings(assignments=(*told, "output.pages=false"), environment={})
    product = tmp_path / process_scene(discover(settings.archive).scenes[0], settings).product
    weights = product / "weights.safetensors"
    kept = Prior.load(weights.read_bytes(), own=True)
    still = {2: {name: torch.zeros_like(tensor) for name, tensor in kept.weights[2].items()}}
    weights.write_bytes(
        Prior(still, kept.card).save()
    )  # a network that adds nothing; training taught another
    found = explain(product, scene, BOX)
    assert found.facts["network"] == "weights kept with the product"
    assert found.facts["learned_largest_k"] == 0
    assert explained.facts["network"] == "prior"  # what the product without kept weights rests on
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(DamagedProductError, match=r"weights\.safetensors: "):
        explain(product, scene, BOX)


def test_weights_of_others_are_explained(published, tmp_path):
    _, scene, path = published
    file = tmp_path / "swinir.pth"
    file.write_bytes(as_pth(made("swinir", layers=(1,))))
    told = (f"archive.root={path}", f"output.root={tmp_path}", "archive.settle_s=0", "recipe.scale=2")
    told += (f"recipe.network.pretrained={file}", "recipe.gate.enabled=false", "output.pages=false")
    settings = load_settings(assignments=(*told, "recipe.infer.self_ensemble=false"), environment={})
    record = process_scene(discover(settings.archive).scenes[0], settings)
    found = explain(tmp_path / record.product, scene, BOX)
    assert found.facts["network"] == "pretrained"
    assert found.facts["learned_largest_k"] > 0
    assert found.facts["completeness_missing_fraction"] < 0.01


def test_another_scene_or_place_is_refused_in_one_line(published):
    product, scene, _ = published
    other = dataclasses.replace(scene, ref=dataclasses.replace(scene.ref, digest="0" * 64))
    with pytest.raises(UnusableInputError, match="of other content"):
        explain(product, other, BOX)
    with pytest.raises(UnusableInputError, match=r"--box: .* product's 96 x 96 .* found 90 90 100 99"):
        explain(product, scene, Window(90, 90, 9, 10))
    with pytest.raises(UnusableInputError, match=r"--pixel: x y inside the box .* found 3 2"):
        explain(product, scene, BOX, pixel=(2, 3))
    with pytest.raises(DamagedProductError, match="does not say how it was made"):
        explain(product.parent, scene, BOX)


def test_the_verb_explains(published, tmp_path):
    product, _, path = published
    words = ["explain", str(product), "--scene", str(path), "--box", "44", "40", "54", "52", "--json"]
    answer = CliRunner().invoke(app, [*words, "--out", str(tmp_path)])
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["box"] == [44, 40, 54, 52]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["explanation.json", "explanation.png"]


def test_the_seen_part_holds_the_box_and_begins_with_a_window():
    for row, column in ((0, 0), (300, 350), (390, 10)):
        box = Window(row, column, 9, 9)
        seen = seen_part(box, (200, 200), 2, 24)
        assert seen.row % 24 == seen.column % 24 == 0
        touched = box_in_scene(box, 2, (200, 200))
        assert seen.row <= touched.row
        assert touched.row + touched.height <= seen.row + seen.height <= 200
