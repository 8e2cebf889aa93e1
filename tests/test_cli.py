"""The verbs that look and check: one line for every wrong input, and nothing that a name can break."""

import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.commands.run import report_table
from pipeline.commands.options import settings_for
from pipeline.errors import SettingsError, UnusableInputError
from pipeline.figures import FIGURES
from pipeline.products.publish import publish
from tests.products.known import manifest_of, stage_product

KELVIN = np.full((8, 9), 300, dtype=np.float32)


def call(*words):
    """What a command prints; its errors come through."""
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def test_info_says_of_a_scene_without_data_what_a_night_says(tmp_path):
    np.savez(tmp_path / "cloud.npz", temperature=KELVIN * np.nan, units="K")
    with pytest.raises(UnusableInputError, match=r"cloud\.npz: temperature holds no data: every pixel is"):
        call("info", tmp_path / "cloud.npz")


def test_an_archive_that_links_to_itself_is_a_wrong_setting(tmp_path):
    (tmp_path / "a.tif").symlink_to(tmp_path / "a.tif")
    with pytest.raises(SettingsError, match=r"archive .*a\.tif cannot be followed"):
        settings_for(tmp_path / "a.tif", None, None, None)


def test_products_cannot_go_into_a_file(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(SettingsError, match=r"OUT .*out is a file; a folder for the products is wanted"):
        settings_for(tmp_path, tmp_path / "out", None, None)


@pytest.mark.parametrize("name", ["a.npy", "b.png"])
def test_info_of_another_format_says_which_are_read(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x93NUMPY or not")
    with pytest.raises(UnusableInputError, match=rf"{name}: GeoTIFF \(\.tif\), NetCDF .* and NPZ are read"):
        call("info", tmp_path / name)


def test_a_stack_in_an_npz_is_told_how_to_be_parted(tmp_path):
    np.savez(tmp_path / "stack.npz", temperature=np.full((5, 40, 40), 300.0, np.float32))
    with pytest.raises(UnusableInputError, match="write each picture of a stack into a file of its own"):
        call("info", tmp_path / "stack.npz")


def test_plan_says_that_it_read_no_pixels(tmp_path):
    np.savez(tmp_path / "a.npz", temperature=np.full((40, 40), 300.0, np.float32))
    said = call("plan", tmp_path, tmp_path / "out", "--set", "archive.settle_s=0")
    assert "Only names and heads of files were looked at" in " ".join(said.output.split())


def test_the_plan_shows_a_strange_name_in_one_line_without_terminal_codes(tmp_path):
    np.savez(tmp_path / "plain.npz", temperature=KELVIN, units="K")
    (tmp_path / "plain.npz").rename(tmp_path / "one\n\x1b[31mtwo.npz")
    shown = call("plan", tmp_path, tmp_path / "out", "--set", "archive.settle_s=0").output
    assert "one two.npz" in shown
    assert "\x1b" not in shown


def test_the_plan_of_a_great_archive_shows_its_beginning_and_counts_the_rest(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.commands.plan.MOST_ROWS", 2)
    for number in range(3):
        np.savez(tmp_path / f"scene{number}.npz", temperature=KELVIN + number, units="K")
    words = ("plan", tmp_path, tmp_path / "out", "--set", "archive.settle_s=0")
    shown = call(*words).output
    assert "scene0.npz" not in shown
    assert "and 1 more; --json lists them all" in shown
    assert len(json.loads(call(*words, "--json").stdout)["files"]) == 3


def test_the_table_of_a_great_night_shows_what_failed_and_counts_the_rest(monkeypatch):
    monkeypatch.setattr("flows.commands.run.MOST_ROWS", 3)
    ended = [
        {
            "ref": {"scene_id": name},
            "status": status,
            "reason": "",
            "assumptions": (),
            "timings_s": {},
            "figures": {},
        }
        for name, status in (("one", "done"), ("two", "done"), ("three", "failed"))
    ]
    copies = [{"file": f"/a/copy{number}.tif", "same_as": "/a/one.tif"} for number in range(4)]
    table = report_table({"scenes": ended, "waiting": [], "duplicates": copies, "left": []})
    shown = list(table.columns[0].cells)
    assert shown == ["three", "one", "two", "and 4 more; --json lists them all"]


def test_a_product_that_was_replaced_is_not_reported_as_damaged_for_ever(tmp_path):
    staging, final = stage_product(tmp_path)
    product = publish(staging, final, manifest_of())
    aside = product.with_name(f".damaged-{product.name}-01234567")
    product.rename(aside)
    next(aside.glob("*.zarr/zarr.json")).unlink()
    staging, final = stage_product(tmp_path)
    publish(staging, final, manifest_of())
    assert "1 checked, 0 damaged" in call("verify", tmp_path).output


def test_redo_needs_no_archive(tmp_path):
    assert (
        "0 scenes will be taken"
        in call("redo", tmp_path, "--error", "x", "--set", "archive.root=/gone").output
    )


def test_plan_creates_nothing_where_there_is_no_output_folder(tmp_path):
    np.savez(tmp_path / "plain.npz", temperature=KELVIN, units="K")
    call("plan", tmp_path / "plain.npz", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_plan_leaves_out_days_as_run_does(tmp_path):
    for day in ("20260801", "20260805"):
        np.savez(tmp_path / f"scene_{day}T100000.npz", temperature=KELVIN + int(day[-1]), units="K")
    words = ("plan", tmp_path, tmp_path / "out", "--set", "archive.settle_s=0", "--json")
    rows = json.loads(call(*words, "--since", "2026-08-02", "--until", "2026-08-31").stdout)["files"]
    actions = {row["file"]: row["action"] for row in rows}
    assert actions == {"scene_20260801T100000.npz": "leave", "scene_20260805T100000.npz": "process"}


def test_plan_says_that_fresh_files_rest_and_how_to_take_them_now(tmp_path):
    np.savez(tmp_path / "scene_20260801T100000.npz", temperature=KELVIN, units="K")
    told = call("plan", tmp_path, tmp_path / "out").stdout
    assert "1 of 1 wait until they have rested for 120 s" in told
    assert "--set archive.settle_s=0 takes them now" in told
    assert "have rested" not in call("plan", tmp_path, tmp_path / "out", "--set", "archive.settle_s=0").stdout


def test_info_of_a_product_says_what_it_is(tmp_path):
    staging, final = stage_product(tmp_path, views=True)
    product = publish(staging, final, manifest_of())
    for path in (product, next(product.glob("*.zarr")), next(product.glob("*.tif"))):
        facts = json.loads(call("info", path, "--json").stdout)
        assert facts["product"] == product.name
        assert facts["outcome"] == "done"
        assert facts["size_px"]


def test_info_of_a_product_is_short_lines_with_the_meaning_of_each_figure(tmp_path):
    staging, final = stage_product(tmp_path)
    told = call("info", publish(staging, final, manifest_of())).stdout.splitlines()
    assert max(len(line) for line in told) < 110
    assert not [line for line in told if set(line) & set("{}[]")]
    assert ["size", "px", "96,", "80"] in [line.split() for line in told]
    (meaning,) = (line for line in told if line.startswith("gain"))
    assert re.fullmatch(f"gain +0.5 +{re.escape(FIGURES['gain'].meaning)}", meaning)
