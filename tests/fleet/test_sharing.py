"""Shares of an archive are whole and apart; a scene that is forgotten is taken again."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect import states

from flows.dispatch import idempotency_key
from flows.rules import ENDED, WAITING, automations
from flows.states import FINAL_NAMES
from pipeline.nights.night import Plan, plan_night, share
from pipeline.products.records import read_records, write_record
from pipeline.scene import Record, SceneRef
from pipeline.settings_sources import load_settings
from tests.fleet.tiny import CHEAP, cheap_settings, write_archive

THERMAL_SR = Path(sys.executable).with_name("thermal-sr")
digests = st.text("0123456789abcdef", min_size=64, max_size=64)


def ref(digest, name="scene"):
    return SceneRef(f"{name}-{digest[:8]}", "npz", (f"/archive/{name}.npz",), digest)


@given(st.sets(digests, max_size=30), st.integers(1, 9))
def test_every_scene_is_in_exactly_one_share(found, shares):
    plan = Plan(todo=tuple(ref(digest) for digest in sorted(found)))
    parts = [share(plan, f"{part}/{shares}", Path("/archive")) for part in range(1, shares + 1)]
    assert sorted(entry.digest for part in parts for entry in part.todo) == sorted(found)


def test_the_shares_reports_add_up_to_the_whole(tmp_path):
    archive = write_archive(tmp_path / "archive", 12)
    (archive / "copy.npz").write_bytes((archive / "scene_003.npz").read_bytes())
    (archive / "broken.npz").write_bytes(b"PK no archive")
    settings = cheap_settings(archive, tmp_path / "out")
    parts = [plan_night(cheap_settings(archive, tmp_path / "out", [f"run.shard={n}/5"])) for n in range(1, 6)]
    assert sum(part.found for part in parts) == plan_night(settings).found == 14


def test_another_recipe_is_another_run():
    one = ref("ab" * 32)
    plain, finer = (load_settings(None, [f"recipe.scale={scale}"], environment={}) for scale in (2, 4))
    assert idempotency_key(one, plain, 1) != idempotency_key(one, finer, 1)


def prefect_states():
    """Every kind of state that Prefect can make by name, as it comes."""
    for name, make in inspect.getmembers(states, inspect.isfunction):
        if name[0].isupper():
            needed = [
                parameter.name
                for parameter in inspect.signature(make).parameters.values()
                if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
            ]
            yield make(**dict.fromkeys(needed))


def test_a_waiting_run_is_never_taken_for_dead():
    """Of all states that a run can rest or end in, the rule for silent ones names every single one."""
    silent = automations("scene/gpu")[0].trigger
    found = list(prefect_states())
    resting = {
        state.name for state in found if state.is_scheduled() or state.is_paused() or state.is_cancelling()
    }
    final = {state.name for state in found if state.is_final()} | {"TimedOut"}
    assert len(found) >= 15
    assert resting == set(WAITING)
    assert final - set(FINAL_NAMES) == {"Cancelled", "Crashed", "TimedOut"}
    assert final | set(FINAL_NAMES) == set(ENDED)  # Prefect's own, and the names of ours
    assert {f"prefect.flow-run.{name}" for name in (*WAITING, *ENDED)} <= silent.expect


@pytest.fixture
def refusals(tmp_path):
    """A folder of products with two refused scenes, and its settings."""
    settings = cheap_settings(tmp_path, tmp_path / "out")
    for number, reason in enumerate(["its Unit is unknown", "no pixel is valid"]):
        record = Record(ref(str(number) * 64), "refused", reason, settings.recipe.label)
        write_record(settings.output.root, settings.recipe.label, record)
    return settings


def redo(settings, text):
    """What `thermal-sr redo` says it forgot."""
    cheap = [word for setting in CHEAP for word in ("--set", setting)]
    command = [THERMAL_SR, "redo", settings.output.root, "--error", text, "--json", *cheap]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return [record["reason"] for record in json.loads(answer.stdout)["taken_again"]]


def test_redo_forgets_the_scenes_whose_reason_has_the_text(refusals):
    assert redo(refusals, "unit is") == ["its Unit is unknown"]
    left = read_records(refusals.output.root, refusals.recipe.label)
    assert [record.reason for record in left] == ["no pixel is valid"]


def test_redo_of_what_nobody_said_forgets_nothing(refusals):
    assert redo(refusals, "disk") == []
    assert len(read_records(refusals.output.root, refusals.recipe.label)) == 2
