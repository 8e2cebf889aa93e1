"""The morning page says what a reader must not miss."""

import re
from datetime import UTC, datetime

from flows.scene import scene_markdown
from pipeline.nights.night import Plan
from pipeline.nights.report import make_report, report_markdown
from pipeline.scene import Record, SceneRef
from pipeline.settings import Settings


def test_a_scale_alarm_stands_beside_its_scene():
    records = [
        Record(
            SceneRef(name, "npz", (f"{name}.npz",), "0" * 64), "done", "", "x", figures={"scale_alarm": alarm}
        )
        for name, alarm in (("calm-00000000", ""), ("loud-00000000", "noise is 97% of the finest octave"))
    ]
    report = make_report(
        "run", datetime(2026, 8, 1, tzinfo=UTC), Settings(), plan=Plan(todo=()), records=records
    )
    page = report_markdown(report, Settings())
    assert "- `loud-00000000` done; alarm: noise is 97% of the finest octave" in page
    assert "- `calm-00000000` done\n" in page


def test_a_night_s_artifact_leads_to_the_page_of_every_product():
    ref = SceneRef("done-00000000", "npz", ("a.npz",), "0" * 64)
    record = Record(ref, "done", "", "x", product="x/2026/08/odd (name]-00000000")
    settings = Settings.model_validate({"output": {"root": "/data/my products"}})
    plan = Plan(todo=())
    report = make_report("run", datetime(2026, 8, 1, tzinfo=UTC), settings, plan=plan, records=[record])
    page = report_markdown(report, settings)
    link = "[page](file:///data/my%20products/x/2026/08/odd%20%28name%5D-00000000/view.html)"
    assert f"- `done-00000000` done {link}\n" in page
    assert f"/data/my products/{report['recipe']}/reports/index.html" in page
    without = settings.model_copy(update={"output": settings.output.model_copy(update={"pages": False})})
    assert "view.html" not in report_markdown(report, without)


def test_the_counts_add_up_to_all_that_was_found():
    left_out = ("/a/old.tif", "acquired 2020-01-01, before archive.since 2021-01-01")
    duplicate, waiting = ("/a/copy.tif", "/a/new.tif"), ("/a/young.tif", "changed 3 s ago")
    plan = Plan(todo=(), waiting=(waiting,), duplicates=(duplicate,), left_out=(left_out,))
    report = make_report("run", datetime(2026, 8, 1, tzinfo=UTC), Settings(), plan=plan)
    assert report["found"] == sum(report["counts"].values()) == 3
    assert report["left_out"] == [dict(zip(("file", "reason"), left_out, strict=True))]


def test_scenes_that_were_neither_run_nor_handed_out_are_counted_as_left():
    refs = [SceneRef(f"scene-0000000{number}", "npz", ("a.npz",), f"{number}" * 64) for number in range(3)]
    report = make_report(
        "run",
        datetime(2026, 8, 1, tzinfo=UTC),
        Settings(),
        plan=Plan(todo=tuple(refs)),
        records=[Record(refs[0], "done", "", "x")],
        dispatched=refs[1:2],
        faults=["sbatch ended with 1: no"],
    )
    assert report["left"] == [refs[2].to_json()]
    assert sum(report["counts"].values()) == report["found"] == 3
    assert "The night ended early**: sbatch ended with 1: no" in report_markdown(report, Settings())


HOSTILE = "x | <img src=http://host/a> [link](http://host) `code`"


def test_words_from_a_file_are_no_markup_on_the_pages():
    record = Record(
        SceneRef("scene-00000000", "npz", ("a.npz",), "0" * 64),
        "refused",
        HOSTILE,
        "x",
        figures={"psf": HOSTILE},
    )
    plan = Plan(todo=(), waiting=((f"/archive/{HOSTILE}.tif", HOSTILE),))
    report = make_report("run", datetime(2026, 8, 1, tzinfo=UTC), Settings(), plan=plan, records=[record])
    for page in (report_markdown(report, Settings()), scene_markdown(record)):
        outside_code = re.sub(r"`[^`]*`", "", page.replace(r"\`", ""))
        assert not re.search(r"(?<!\\)[<\[]|(?<!\\)\]\(", outside_code), page
        assert all(
            line.count("|") - line.count(r"\|") == 3 for line in page.splitlines() if line.startswith("|")
        )
