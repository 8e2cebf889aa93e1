"""What makes a product another one: its content, all of it, and what a person says of it."""

import hashlib
from datetime import UTC, datetime

import numpy as np
import pytest

from pipeline.archive.product_rules import rule_identity
from pipeline.nights.night import plan_night
from pipeline.nights.report import completed, make_report
from pipeline.outcomes import refused_record
from pipeline.process import process_scene
from pipeline.products.layout import manifest_rule, published_folders
from pipeline.products.store.zarr_store import open_store
from pipeline.settings import ArchiveSettings, ProductRule
from pipeline.settings_sources import validate_settings

PIXELS = (290 + 10 * np.random.default_rng(0).random((48, 48))).astype(np.float32)


def settings_of(tmp_path, *rules, **archive):
    tree = {"root": tmp_path / "archive", "settle_s": 0, "products": rules, **archive}
    recipe = {"detail": "none", "scale": 2}
    return validate_settings({"archive": tree, "output": {"root": tmp_path / "out"}, "recipe": recipe})


def scene(path, **told):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, data=PIXELS, units="K", **told)
    return path


def median_k(product):
    (store,) = product.glob("*.zarr")
    with open_store(store) as opened:
        return float(np.nanmedian(opened["surface_temperature"]))


def test_a_changed_rule_makes_the_product_anew_in_its_place(tmp_path):
    scene(tmp_path / "archive" / "one.npz")
    told = [(), ({"pattern": "*", "offset": 5.0},)]
    medians_k = []
    for rules in told:
        settings = settings_of(tmp_path, *rules)
        (ref,) = plan_night(settings).todo
        assert process_scene(ref, settings).status in ("done", "fell back")
        assert plan_night(settings).todo == ()
        (product,) = published_folders(settings.output.root / settings.recipe.label)
        medians_k.append(median_k(product))
    assert medians_k[1] - medians_k[0] == pytest.approx(5, abs=0.01)
    assert len(manifest_rule(product)) == 8
    plan = plan_night(settings_of(tmp_path))
    assert plan.again[plan.todo[0].scene_id] == "what is said of it has changed since its product was made"


def test_a_product_made_under_another_rule_does_not_complete_a_report(tmp_path):
    scene(tmp_path / "archive" / "one.npz")
    before, now = settings_of(tmp_path), settings_of(tmp_path, {"pattern": "*", "offset": 5.0})
    (ref,) = plan_night(before).todo
    process_scene(ref, before)
    plan = plan_night(now)
    told = {"settings": now, "plan": plan, "dispatched": plan.todo}
    report = make_report("run", datetime(2026, 8, 1, tzinfo=UTC), **told)
    assert completed(report, now)["counts"]["dispatched"] == 1
    process_scene(ref, now)
    assert completed(report, now)["counts"]["dispatched"] == 0


def test_only_what_is_said_of_a_file_is_a_rule_s_identity(tmp_path):
    def identity(*rules, **archive):
        settings = ArchiveSettings(root=tmp_path, products=rules, **archive)
        return rule_identity(tmp_path / "one.tif", settings)

    assert identity() == identity(ProductRule(pattern="*.nc", scale=2.0)) == ""
    plain = identity(ProductRule(pattern="*.tif", scale=2.0))
    assert plain == identity(ProductRule(pattern="one*", scale=2.0), ProductRule(pattern="*", fill=3.0))
    others = [{"scale": 3.0}, {"units": "K"}, {"fill": 1.0}, {"variable": "a"}, {"crs": "EPSG:4326"}]
    others += [{"bounds": (0.0, 0.0, 1.0, 1.0)}]
    others += [{"valid_min_k": 250.0}, {"mask": ("a", "b")}, {"transform": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)}]
    found = [identity(ProductRule(pattern="*", **said)) for said in others]
    found.append(identity(plausible={"surface_k": (170, 360)}))
    assert len({plain, "", *found}) == len(found) + 2


def equal_starts(content):
    """Two endings of a content that give digests with equal first eight digits."""
    begun, seen = hashlib.sha256(content), {}
    for number in range(1_000_000):
        ending = number.to_bytes(8, "big")
        whole = begun.copy()
        whole.update(ending)
        start = whole.hexdigest()[:8]
        if start in seen:
            return seen[start], ending
        seen[start] = ending
    raise AssertionError("no pair among a million: as likely as a meteorite")


def test_two_contents_of_one_name_and_one_start_of_their_digest_are_no_one_product(tmp_path):
    made = scene(tmp_path / "made.npz").read_bytes()
    # the zip's comment ends the file: two bytes of length, then whatever is wanted
    content = made[:-2] + (8).to_bytes(2, "little")
    for folder, ending in zip(("a", "b"), equal_starts(content), strict=True):
        path = tmp_path / "archive" / folder / "one.npz"
        path.parent.mkdir(parents=True)
        path.write_bytes(content + ending)
    settings = settings_of(tmp_path)
    first, second = plan_night(settings).todo
    assert first.scene_id == second.scene_id
    assert first.digest != second.digest
    records = [process_scene(ref, settings) for ref in (first, second)]
    assert records[0].status in ("done", "fell back")
    assert records[1].status == "refused"
    assert records[1].reason.endswith(
        "another content has this name and the first digits of its digest; rename the file"
    )
    after = plan_night(settings)
    assert (len(after.done), len(after.ended), after.todo) == (1, 1, ())


def test_a_file_refused_for_its_name_is_tried_again_under_another(tmp_path):
    layer = "LC08_L2SP_008059_20191201_20200825_02_T1_SR_B4.tif"
    settings = settings_of(tmp_path)
    from tests.archive.twins import write_tif

    (tmp_path / "archive").mkdir()
    path = write_tif(tmp_path / "archive" / layer, PIXELS, units="K")
    ((ref, reason),) = plan_night(settings).refused
    assert "holds the layer SR_B4" in reason
    refused_record(ref, settings, reason)
    assert len(plan_night(settings).ended) == 1
    path.rename(path.with_name("surface_temperature.tif"))
    assert len(plan_night(settings).todo) == 1
