"""`--help` is the manual: fast, in groups, and every summary on one line."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from flows.cli import VERBS, app


def shown(*words):
    return CliRunner().invoke(
        app, [*words], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"}, catch_exceptions=False
    )


def test_every_summary_fits_on_a_line_of_80_columns():
    lines = shown("--help").output.splitlines()
    for verbs in VERBS.values():
        for name, verb in verbs.items():
            summary = verb.__doc__.splitlines()[0]
            assert any(line.split()[1:2] == [name] and summary in line for line in lines), (name, summary)


def test_groups_come_in_the_order_of_a_users_day_and_run_is_first():
    text = shown("--help").output
    places = [text.index(f"─ {group} ─") for group in ("Run", "Look", "Check", "Learn", "Operate")]
    assert places == sorted(places)
    assert text.index(" run ") < text.index(" plan ")


def test_the_old_name_of_train_prior_works_and_is_not_shown():
    assert shown("learn", "--help").exit_code == 0
    assert "learn " not in shown("--help").output


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["plan", "--no-such-option"]])
def test_help_imports_no_large_library(words):
    script = (
        "import sys\nfrom flows.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'prefect', 'rasterio', 'netCDF4', 'xarray', 'dask', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    answer = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr[-500:]


def test_a_night_without_new_scenes_does_without_torch_and_prefect(tmp_path):
    (tmp_path / "archive").mkdir()
    script = (
        "import sys\nfrom flows.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'prefect', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    for verb in ("run", "plan"):
        words = [verb, str(tmp_path / "archive"), str(tmp_path / "out")]
        answer = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr[-500:]
