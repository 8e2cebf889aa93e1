"""A night that runs is seen from outside, by what it writes below OUT."""

import json
import logging
import time

import pytest
from rich.console import Console
from typer.testing import CliRunner

import flows.heartbeat as heartbeat
from flows.cli import app
from flows.heartbeat import Heartbeat
from flows.tonight import Night
from flows.watching import Sight, lines_here, nights_here
from pipeline.errors import UnusableInputError
from pipeline.nights.night import plan_night
from pipeline.outcomes import refused_record
from tests.fleet.tiny import cheap_settings, write_archive

log = logging.getLogger("pipeline.test")


@pytest.fixture
def night(tmp_path, monkeypatch):
    """A night over three scenes of which one is refused; lines come at every beat."""
    monkeypatch.setattr(heartbeat, "BEAT_S", 0.01)
    monkeypatch.setattr(heartbeat, "SAY_EVERY_S", 0.0)
    monkeypatch.setattr(heartbeat, "err_console", Console(stderr=True, force_terminal=False, width=200))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    night = Night(cheap_settings(write_archive(tmp_path / "archive", 3), tmp_path / "out"))
    night.plan = plan_night(night.settings)
    night.ended(refused_record(night.plan.todo[0], night.settings, "units are not said"))
    return night


def seen(out, *, at_work):
    """What is seen once so many scenes are at work."""
    deadline_s = time.monotonic() + 20
    while time.monotonic() < deadline_s:
        sight = nights_here(out)
        if sight is not None and len(sight.at_work) == at_work:
            return sight
        time.sleep(0.01)
    raise AssertionError("nothing was seen in 20 s")


def watch(*words):
    return CliRunner().invoke(app, ["watch", *map(str, words)], catch_exceptions=False).output


def test_a_night_is_seen_while_it_lasts_and_no_longer(night, capfd):
    out, name = night.settings.output.root, night.plan.todo[1].scene_id
    told = Heartbeat(night, spoken=True)
    with told.beating():
        assert seen(out, at_work=0) == Sight(3, {"refused": 1}, {})
        told(name, 30.0, "train")
        assert seen(out, at_work=1).at_work == {name: (30.0, "train")}
        told(name, 100.0, "publish")
        told(name, 100.0, "done")
        seen(out, at_work=0)
    assert nights_here(out) is None
    assert f"night: 1 of 3 ended (1 refused); {name} train 30 %" in capfd.readouterr().err


def test_the_log_of_one_scene_holds_its_stages_and_what_is_logged_of_it(night, caplog):
    out, (one, other) = night.settings.output.root, (ref.scene_id for ref in night.plan.todo[1:])
    told = Heartbeat(night, spoken=False)
    with caplog.at_level("INFO", logger="pipeline"), told.beating():
        told(one, 5.0, "train")
        told(one, 9.0, "train")
        told(other, 5.0, "judge")
        log.info("%s: done in 3 s", one)
    told = [line.split(" ", 1)[1] for line in lines_here(out, one)]
    assert told == [f"INFO {one}: train", f"INFO {one}: done in 3 s"]


def test_a_disk_that_takes_nothing_costs_a_night_nothing(night, caplog, capfd):
    out = night.settings.output.root
    (out / ".scratch").write_text("no folder can be made here")
    told = Heartbeat(night, spoken=True)
    with caplog.at_level("INFO", logger="pipeline"), told.beating():
        told(night.plan.todo[1].scene_id, 5.0, "train")
        log.info("%s: done in 3 s", night.plan.todo[1].scene_id)
        time.sleep(0.1)
    said = capfd.readouterr().err
    assert "night: 1 of 3 ended" in said
    assert "Logging error" not in said


def test_a_night_that_was_killed_is_no_night_that_runs(night):
    out = night.settings.output.root
    with Heartbeat(night, spoken=False).beating():
        seen(out, at_work=0)
        (file,) = out.glob(".scratch/nights/*.json")
        plain = json.loads(file.read_text())
    for left in ({**plain, "beat": "2026-01-01T00:00:00Z"}, {**plain, "ended": 3, "beat": "x"}, [1]):
        file.write_text(json.dumps(left))
        assert nights_here(out) is None


def test_watch_ends_with_the_last_report_and_says_how_a_scene_ended(night):
    out, name = night.settings.output.root, night.plan.todo[0].scene_id
    assert "no night runs, and none has left a report" in watch(out)
    night.write()
    assert "3 found: 1 refused, 2 left for the next run" in watch(out)
    assert f"{name}: refused" in watch(out, "--scene", name)
    with pytest.raises(UnusableInputError, match=r"nobody: no log and no outcome of this scene"):
        watch(out, "--scene", "nobody")
