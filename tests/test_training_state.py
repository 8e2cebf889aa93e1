"""A training's state on the disk: what goes wrong with its file costs time, never the scene."""

from dataclasses import replace

import pytest

from pipeline.nights.night import plan_night
from pipeline.process import process_scene
from pipeline.superres.training.state import TrainState
from pipeline.training_state import KeptTraining, checkpoint_path
from tests.fleet.tiny import cheap_settings, write_archive

STATE = replace(TrainState.begin({}), step=3)


@pytest.fixture
def scene(tmp_path):
    """A scene and its settings; every state that is taken is written at once."""
    told = ["run.checkpoint_s=0.001", "recipe.prior=none", "recipe.detail=trained", "recipe.train.steps=40"]
    settings = cheap_settings(write_archive(tmp_path / "archive", 1), tmp_path / "out", told)
    (ref,) = plan_night(settings).todo
    return ref, settings


def test_another_run_of_the_scene_finds_the_state(scene):
    kept = KeptTraining(*scene)
    with kept.flushed():
        kept.checkpoint.save(STATE)
    assert KeptTraining(*scene).checkpoint.load() == STATE


def test_a_state_that_cannot_be_read_starts_the_training_anew(scene, caplog):
    checkpoint_path(*scene).mkdir(parents=True)  # a folder cannot be read as a file, not even by root
    assert KeptTraining(*scene).checkpoint.load() is None
    assert "training starts anew" in caplog.text


def test_a_state_that_cannot_be_written_does_not_end_the_scene(scene, caplog):
    checkpoint_path(*scene).parent.parent.mkdir(parents=True)
    checkpoint_path(*scene).parent.touch()  # a file where its folder should be
    record = process_scene(*scene)
    assert record.status == "done"
    assert "the training's state was not kept" in caplog.text
