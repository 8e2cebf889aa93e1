"""What was published is kept: rot is found within a month, and what is damaged is made again."""

import json
import shutil
from datetime import date, timedelta

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli import app
from pipeline.errors import SettingsError, UnusableInputError
from pipeline.nights.night import check_share, plan_night
from pipeline.nights.upkeep import products_below, todays_share
from pipeline.process import process_scene
from pipeline.products.layout import REDO, find_product
from pipeline.products.publish import mark_for_redo, publish, verify
from pipeline.settings_sources import load_settings
from tests.products.known import LABEL, make_enhancement, manifest_of, stage_product

DAY = date(2026, 11, 21)
QUICK = ("recipe.detail=none", "recipe.scale=2", "archive.settle_s=0")


def call(*words, given=""):
    """What a command answers; its errors come through."""
    return CliRunner().invoke(app, [str(word) for word in words], input=given, catch_exceptions=False)


def published(out, scene_id="demo-0123abcd"):
    enhancement = make_enhancement(scene_id=scene_id, shape=(8, 8), holes=False)
    staging, final = stage_product(out, enhancement)
    return publish(staging, final, manifest_of(enhancement))


def damage_one_file(product):
    next(product.glob("*.zarr/surface_temperature/c/0/0")).write_bytes(b"rot")


@pytest.fixture
def night(tmp_path):
    """Settings of an archive of one scene, and its product."""
    temperature = 300 + np.random.default_rng(1).normal(0, 1, (20, 20)).astype(np.float32)
    (tmp_path / "archive").mkdir()
    place = {"crs": "EPSG:32633", "transform": np.array([70.0, 0, 400_000, 0, -70, 5_300_000])}
    np.savez(tmp_path / "archive" / "scene.npz", temperature=temperature, units="K", **place)
    roots = (f"archive.root={tmp_path / 'archive'}", f"output.root={tmp_path / 'out'}")
    settings = load_settings(assignments=[*QUICK, *roots], environment={})
    return settings, run(settings)


def run(settings):
    """The product of the night's only scene."""
    (ref,) = plan_night(settings).todo
    return settings.output.root / process_scene(ref, settings).product


def test_every_product_has_its_turn_once_in_thirty_days(tmp_path):
    products = [tmp_path / f"scene-{number:08x}" for number in range(200)]
    seen = [
        product
        for day in range(30)
        for product in todays_share(iter(products), "1/30", DAY + timedelta(days=day))
    ]
    assert sorted(seen) == products


def test_a_larger_share_is_through_sooner(tmp_path):
    products = [tmp_path / f"scene-{number:08x}" for number in range(200)]
    seen = {
        product for day in range(4) for product in todays_share(iter(products), "5/20", DAY + timedelta(day))
    }
    assert sorted(seen) == products


def test_verify_looks_only_at_the_share(tmp_path):
    for number in range(6):
        published(tmp_path, f"demo-{number:08d}")
    answer = json.loads(call("verify", tmp_path, "--share", "1/3", "--json").stdout)
    assert answer["found"] == 6
    assert answer["checked"] < 6
    assert answer["damaged"] == 0


def test_a_quick_look_finds_what_is_missing_or_shorter_and_reads_no_byte(tmp_path):
    product = published(tmp_path)
    record = product / "record.json"
    whole = record.read_bytes()
    record.write_bytes(b"?" + whole[1:])
    assert "0 damaged" in call("verify", tmp_path, "--quick").output
    assert json.loads(call("verify", tmp_path, "--json").stdout)["damaged"] == 1
    record.write_bytes(whole[:-1])
    assert json.loads(call("verify", tmp_path, "--quick", "--json").stdout)["damaged"] == 1


def test_a_share_that_is_none_is_a_wrong_setting(tmp_path):
    published(tmp_path)
    with pytest.raises(SettingsError, match=r"--share '3/2': a share is wanted, as 1/30"):
        call("verify", tmp_path, "--share", "3/2")


def test_a_product_that_is_to_be_made_again_stays_readable_and_whole(tmp_path):
    product = published(tmp_path)
    mark_for_redo(product, "asked for")
    verify(product)
    assert list(products_below(tmp_path)) == [product]
    assert find_product(tmp_path, LABEL, make_enhancement().scene.ref.digest) is None


def test_what_replaces_a_marked_product_lets_it_lie_hidden_beside(tmp_path):
    product = published(tmp_path)
    mark_for_redo(product, "asked for")
    assert published(tmp_path) == product
    assert not (product / REDO).exists()
    (old,) = product.parent.glob(".replaced-*")
    assert (old / REDO).read_text() == "asked for\n"


def test_a_damaged_product_is_made_again_by_the_night_after_redo(night):
    settings, product = night
    damage_one_file(product)
    assert plan_night(settings).todo == ()
    answer = call("redo", settings.output.root, "--damaged", *set_words(settings))
    assert "was damaged" in answer.output
    plan = plan_night(settings)
    assert list(plan.again.values()) == [
        f"damaged: {product.name}: {first_chunk(product)} has changed since it was published"
    ]
    assert run(settings) == product
    verify(product)
    assert plan_night(settings).todo == ()


def test_a_night_begins_with_what_redo_asks_for_and_ends_with_products_of_older_code(night):
    settings, product = night
    for number in range(3):
        np.savez(
            settings.archive.root / f"new_2026010{number + 1}.npz",
            temperature=np.full((9, 9), 290 + number, np.float32),
            units="K",
        )
    for reason, position in (
        ("asked for by redo", 0),
        ("damaged: x", 0),
        ("made by 0.1, older than 0.2", -1),
    ):
        mark_for_redo(product, reason)
        todo = plan_night(settings).todo
        assert (len(todo), todo[position].scene_id) == (4, product.name)


def first_chunk(product):
    return next(product.glob("*.zarr/surface_temperature/c/0/0")).relative_to(product).as_posix()


def set_words(settings):
    return [word for each in QUICK for word in ("--set", each)]


def test_a_night_that_checks_all_products_makes_the_damaged_one_again(night):
    settings, product = night
    damage_one_file(product)
    checked = settings.model_copy(update={"run": settings.run.model_copy(update={"verify_share": "1/1"})})
    check_share(settings)
    assert plan_night(settings).todo == ()
    check_share(checked)
    assert run(checked) == product
    verify(product)


def test_redo_takes_names_and_paths_from_a_list(tmp_path):
    first, second = published(tmp_path, "one-00000001"), published(tmp_path, "two-00000002")
    answer = call(
        "redo", tmp_path, "-", given=f"{first}\tdone\nnot here\n\n".replace("not here\n", f"{second.name}\n")
    )
    assert "2 scenes will be taken" in answer.output
    assert (first / REDO).is_file()
    assert (second / REDO).is_file()


def test_redo_of_an_unknown_name_says_so(tmp_path):
    with pytest.raises(UnusableInputError, match=r"gone-00000001: no product and no record of this name"):
        call("redo", tmp_path, "gone-00000001")


def test_redo_wants_to_know_what(tmp_path):
    with pytest.raises(SettingsError, match="say which"):
        call("redo", tmp_path)


def test_prune_lists_what_has_a_successor_and_deletes_it_only_when_told(tmp_path):
    product = published(tmp_path)
    mark_for_redo(product, "asked for")
    published(tmp_path)
    (old,) = product.parent.glob(".replaced-*")
    assert str(old) in call("prune", tmp_path, "--replaced").output
    assert old.is_dir()
    call("prune", tmp_path, "--replaced", "--yes")
    assert list(product.parent.iterdir()) == [product]


def test_prune_by_recipe_takes_only_what_the_recipe_of_the_settings_made_too(night, tmp_path):
    settings, product = night
    other = settings.model_copy(update={"recipe": settings.recipe.model_copy(update={"seed": 5})})
    newer = run(other)
    shutil.copytree(newer, newer.with_name("alone-00000009"))
    manifest = newer.with_name("alone-00000009") / "MANIFEST.json"
    manifest.write_text(manifest.read_text().replace('"content_digest": "', '"content_digest": "00', 1))
    words = ("prune", settings.output.root, "--superseded", *set_words(settings))
    assert [row["product"] for row in json.loads(call(*words, "--json").stdout)["products"]] == [str(newer)]
    call(*words, "--yes")
    assert not newer.exists()
    assert product.is_dir()


def test_a_scene_pruned_by_age_is_not_made_again_until_redo(night):
    settings, product = night
    assert "0 products" in call("prune", settings.output.root, "--older-than", "1").output
    call("prune", settings.output.root, "--older-than", "0", "--yes")
    assert not product.exists()
    plan = plan_night(
        settings.model_copy(update={"archive": settings.archive.model_copy(update={"strict": True})})
    )
    assert plan.todo == ()
    assert "pruned: made" in plan.ended[0].reason
    call("redo", settings.output.root, product.name)
    assert run(settings) == product


def test_what_lies_behind_a_link_is_nothing_to_prune(tmp_path):
    published(tmp_path / "out")
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "08" / ".replaced-demo-0123abcd-1").mkdir(parents=True)
    (tmp_path / "out" / LABEL / "2025").symlink_to(elsewhere)
    assert call("prune", tmp_path / "out", "--replaced", "--yes").stdout == ""
    assert (elsewhere / "08" / ".replaced-demo-0123abcd-1").is_dir()
