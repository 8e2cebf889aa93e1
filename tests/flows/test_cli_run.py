"""What `run` says before a night begins."""

import pytest
from typer.testing import CliRunner

from flows.cli import app
from pipeline.errors import SettingsError


def test_a_folder_that_cannot_be_written_is_said_once_before_the_night(tmp_path):
    (tmp_path / "archive").mkdir()
    (tmp_path / "file").write_text("")
    words = ["run", str(tmp_path / "archive"), str(tmp_path / "file" / "out")]
    with pytest.raises(SettingsError, match=r"OUT .*out cannot be written: Not a directory; name a folder"):
        CliRunner().invoke(app, words, catch_exceptions=False)
