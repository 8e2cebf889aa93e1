"""The bar of a night: every scene ends on it, however it ends."""

import io
import itertools

import pytest
from rich.console import Console

from flows.night import NightBar
from pipeline.stages import STAGES, Clock, percent_done


@pytest.fixture
def bar():
    return NightBar(4, Console(file=io.StringIO(), force_terminal=True, width=100))


def test_a_night_of_all_outcomes_ends_at_100_percent(bar):
    bar("published", percent_done("train", 0.5), "train")
    bar("published", percent_done("publish", 1.0), "publish")
    bar("published", 100.0, "done")
    bar("refused", percent_done("read", 0.0), "read")
    bar("refused", 100.0, "refused")
    bar("failed", percent_done("write", 0.3), "write")
    bar("failed", 100.0, "failed")
    assert not bar.shown.finished
    bar("done by another night", 100.0, "done")
    assert bar.shown.finished
    assert len(bar.shown.tasks) == 1


def test_percentages_grow_along_the_stages_and_end_at_100():
    ends = [percent_done(stage.name, 1.0) for stage in STAGES]
    assert ends == sorted(ends)
    assert ends[-1] == 100
    assert all(
        percent_done(after.name, 0.0) == percent_done(before.name, 1.0)
        for before, after in itertools.pairwise(STAGES)
    )


def test_the_clock_times_every_stage_it_is_told_of_and_passes_it_on():
    heard = []
    clock = Clock(lambda stage, fraction: heard.append((stage, fraction)))
    for stage in STAGES:
        clock(stage.name, 0.0)
        clock(stage.name, 1.0)
    assert list(clock.seconds) == [stage.name for stage in STAGES]
    assert heard[1] == ("read", 1.0)
    assert len(heard) == 2 * len(STAGES)
