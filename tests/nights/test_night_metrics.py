"""A night's numbers in the text that Prometheus reads."""

import re
from datetime import UTC, datetime

from pipeline.nights.night import Plan
from pipeline.nights.night_metrics import write_metrics
from pipeline.nights.report import make_report
from pipeline.scene import Record, SceneRef
from pipeline.settings import Settings

# A sample as Prometheus' exposition format wants it: name, labels in quotes, a number.
SAMPLE = re.compile(r'[a-z_]+\{([a-z]+="([^"\\\n]|\\["\\n])*",?)+\} -?[0-9.e+]+')


def test_every_count_of_the_report_is_in_the_file_and_the_file_is_well_formed(tmp_path):
    refs = [SceneRef(f"scene-0000000{number}", "npz", ("a.npz",), f"{number}" * 64) for number in range(3)]
    records = [
        Record(
            refs[0], "done", "", "x", figures={"peak_memory_mib": 100}, timings_s={"read": 1.5, "write": 2}
        ),
        Record(refs[1], "failed", "no room", "x"),
    ]
    started = datetime(2026, 8, 1, tzinfo=UTC)
    report = make_report("run", started, Settings(), plan=Plan(todo=tuple(refs)), records=records)
    report["finished"] = "2026-08-01T02:00:00Z"
    text = write_metrics(report, 'a "b"\\c', tmp_path / "night.prom").read_text()
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(SAMPLE.fullmatch(line) for line in samples), text
    for name, count in report["counts"].items():
        (line,) = (line for line in samples if f'outcome="{name.replace(" ", "_")}"' in line)
        assert line.endswith(f" {count}")
    assert any(line.startswith("thermal_sr_scene_seconds_sum") and line.endswith(" 3.5") for line in samples)
    assert any(line.endswith(f" {100 * 2**20}") for line in samples)
    ended = f"{int(started.timestamp()) + 7200}"
    for name, value in (("thermal_sr_night_seconds", "7200"), ("thermal_sr_night_end_seconds", ended)):
        assert [line.rpartition(" ")[2] for line in samples if line.startswith(f"{name}{{")] == [value]
    assert text.count("# HELP") == text.count("# TYPE") == 6
    assert list(tmp_path.iterdir()) == [tmp_path / "night.prom"]
