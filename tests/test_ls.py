"""Scenes are listed by how they ended, in a form that `redo` takes, and set aside after three failures."""

import json
import time

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli import app
from pipeline.errors import SettingsError
from pipeline.nights.night import plan_night
from pipeline.outcomes import TOLD_TWICE_S, failed_record, refused_record
from pipeline.products.layout import record_path
from pipeline.products.publish import mark_for_redo, publish
from pipeline.scene import SceneRef
from pipeline.settings_sources import load_settings
from pipeline.stages import Clock, stage_limit_s
from tests.products.known import make_enhancement, manifest_of, stage_product


def call(*words, given=""):
    return CliRunner().invoke(app, [str(word) for word in words], input=given, catch_exceptions=False)


def settings_of(out, *more):
    roots = (f"archive.root={out.parent / 'archive'}", f"output.root={out}", "archive.settle_s=0")
    return load_settings(assignments=[*roots, *more], environment={})


def ref_of(number):
    digest = f"{number:08d}" + "ab" * 28
    return SceneRef(f"scene-{number:08d}", "npz", (f"scene_{number}.npz",), digest)


@pytest.fixture
def out(tmp_path):
    """One product, a failed and a refused scene."""
    out = tmp_path / "out"
    enhancement = make_enhancement(shape=(8, 8), holes=False)
    staging, final = stage_product(out, enhancement)
    publish(staging, final, manifest_of(enhancement))
    failed_record(ref_of(1), settings_of(out), "No space left on device")
    refused_record(ref_of(2), settings_of(out), "units are not said")
    return out


def listed(*words):
    return [line.split("\t") for line in call("ls", *words).output.splitlines()]


def test_every_scene_is_a_line_of_path_state_time_and_reason(out):
    lines = listed(out)
    assert sorted(line[1] for line in lines) == ["done", "failed", "refused"]
    failed = next(line for line in lines if line[1] == "failed")
    assert failed[0].endswith("/records/scene-00000001.json")
    assert failed[2].startswith("20")
    assert failed[3] == "No space left on device"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("--state", "failed"), ["failed"]),
        (("--error", "SPACE"), ["failed"]),
        (("--since", "1h"), ["failed", "refused"]),
        (("--since", "2026-01-01", "--state", "done"), ["done"]),
        (("--state", "redo"), []),
    ],
)
def test_lines_are_chosen_by_state_text_and_time(out, words, found):
    assert sorted(line[1] for line in listed(out, *words)) == found


def test_the_list_goes_into_redo(out):
    answer = call("redo", out, "-", given=call("ls", out, "--state", "failed").output)
    assert "scene-00000001: was failed, No space left on device" in answer.output
    assert listed(out, "--state", "failed") == []


def test_a_product_that_is_to_be_made_again_is_listed_with_the_reason(out):
    (product,) = out.rglob("demo-0123abcd")
    mark_for_redo(product, "damaged: a chunk is missing")
    assert [line[3] for line in listed(out, "--state", "damaged")] == ["damaged: a chunk is missing"]
    plain = json.loads(call("ls", out, "--state", "redo", "--json").output)
    assert plain[0]["states"] == ["done", "redo", "damaged"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--state", "gone"), "--state 'gone': wanted is one of done, "),
        (("--since", "x"), "--since 'x': 10h, 2d or"),
    ],
)
def test_a_wrong_choice_is_a_wrong_setting(out, words, said):
    with pytest.raises(SettingsError, match=said):
        call("ls", out, *words)


def test_products_of_older_code_are_made_again(out):
    (product,) = out.rglob("demo-0123abcd")
    manifest = json.loads((product / "MANIFEST.json").read_text())
    (product / "MANIFEST.json").write_text(json.dumps({**manifest, "code_version": "0.9.0"}))
    assert "0 scenes" in call("redo", out, "--older-than-version", "0.9").output
    assert "made by 0.9.0" in call("redo", out, "--older-than-version", "0.10").output
    with pytest.raises(SettingsError, match=r"'new': a version is wanted, as 0\.2\.0"):
        call("redo", out, "--older-than-version", "new")


def failures(settings, *, count, reason="out of memory"):
    """The record after so many runs that failed; each forgets when the one before was."""
    record = None
    for _ in range(count):
        record = failed_record(plan_night(settings).todo[0], settings, reason)
        path = record_path(settings.output.root, settings.recipe.label, record.ref.scene_id)
        plain = json.loads(path.read_text())
        path.write_text(json.dumps({**plain, "finished": "2026-01-01T00:00:00Z"}))
    return record


@pytest.fixture
def one_scene(tmp_path):

    (tmp_path / "archive").mkdir()
    np.savez(tmp_path / "archive" / "scene.npz", temperature=np.full((9, 9), 290, np.float32), units="K")
    return tmp_path / "out"


def test_a_scene_that_failed_three_times_is_set_aside_until_redo(one_scene):
    settings = settings_of(one_scene)
    assert failures(settings, count=2).failures == 2
    assert len(plan_night(settings).todo) == 1
    record = failures(settings, count=1)
    plan = plan_night(settings)
    assert plan.todo == ()
    assert [each.failures for each in plan.ended] == [3]
    shown = call("plan", settings.archive.root, one_scene, "--set", "archive.settle_s=0").output
    assert "failed 3 times, set aside" in " ".join(shown.split())
    call("redo", one_scene, record.ref.scene_id)
    assert len(plan_night(settings).todo) == 1


def test_another_rule_of_the_archive_tries_it_again(one_scene):
    failures(settings_of(one_scene), count=3)
    assert len(plan_night(settings_of(one_scene, "archive.strict=true")).todo) == 1


def test_never_giving_up_can_be_said(one_scene):
    never = settings_of(one_scene, "run.give_up_after=0")
    assert failures(never, count=4).failures == 4
    assert len(plan_night(never).todo) == 1


def test_one_failure_that_is_told_twice_counts_once(one_scene):
    settings = settings_of(one_scene)
    (ref,) = plan_night(settings).todo
    assert TOLD_TWICE_S > 1
    assert [failed_record(ref, settings, "same words").failures for _ in range(2)] == [1, 1]


def test_a_stage_that_takes_longer_than_its_share_ends_the_scene():
    clock = Clock(lambda _stage, _fraction: None, limit_s=1e-4)
    clock("read", 0.0)
    time.sleep(0.01)
    with pytest.raises(TimeoutError, match=r"stage read took 0 s, 0 s are allowed \(run\.limit_s\)"):
        clock("read", 0.5)


def test_stages_share_the_limit_of_the_scene():
    assert stage_limit_s("read", 1000) == 200
    assert stage_limit_s("train", 1000) == 1000
    assert stage_limit_s("write", 1000) == pytest.approx(500)
