"""Full disks, wrong clocks, files under many names: no scene is lost, none is made twice."""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.nights.night import plan_night
from pipeline.outcomes import failed_record
from pipeline.process import process_scene
from pipeline.products.layout import published_folders
from pipeline.products.publish import verify
from tests.fleet.tiny import CHEAP, cheap_settings, write_archive, write_scene

DAY_S = 86_400


def night(settings):
    """What ingest does, without an orchestrator: outcome and reason of every scene that was worked on."""
    outcomes = []
    for ref in plan_night(settings).todo:
        try:
            record = process_scene(ref, settings)
        except OSError as error:
            record = failed_record(ref, settings, str(error))
        outcomes.append((record.status, record.reason))
    return outcomes


def products(settings):
    """Published products, each compared with its manifest; whatever else is visible is an error."""
    recipe = settings.output.root / settings.recipe.label
    found = list(published_folders(recipe))
    for product in found:
        verify(product)
    assert sorted(path for path in recipe.glob("undated/*") if not path.name.startswith(".")) == sorted(found)
    return found


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a disk of so many kilobytes, or resizes it; skipped where this is not allowed."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    place = tmp_path / "disk"
    place.mkdir()

    def resize(kilobytes):
        again = (
            ["-o", f"remount,size={kilobytes}k"]
            if place.is_mount()
            else ["-t", "tmpfs", "-o", f"size={kilobytes}k"]
        )
        answer = subprocess.run(["mount", *again, "tmpfs", place], capture_output=True, text=True)
        if answer.returncode:
            pytest.skip(f"no small disk here: {answer.stderr.strip()}")
        return place

    yield resize
    if place.is_mount():
        subprocess.run(["umount", "--lazy", place], check=True)


@pytest.mark.slow
# The first two are refused before the work, the others are full in the middle of writing the product.
@pytest.mark.parametrize("kilobytes", [64, 192, 320, 384, 448, 512])
def test_on_a_full_disk_a_scene_fails_with_its_reason_and_the_next_night_completes_it(
    tmp_path, small_disk, kilobytes
):
    archive = write_archive(tmp_path / "archive", 1)
    settings = cheap_settings(archive, small_disk(kilobytes) / "out")
    ((status, reason),) = night(settings)
    assert status == "failed"
    assert "disk" in reason or "space" in reason
    assert products(settings) == []
    small_disk(64 * 1024)
    assert night(settings)[0][0] == "done"
    assert len(products(settings)) == 1


@pytest.mark.slow
def test_a_night_without_a_free_byte_still_says_what_it_did(tmp_path, small_disk, server):
    archive, disk = write_archive(tmp_path / "archive", 1), small_disk(64)
    settings = cheap_settings(archive, disk / "out")
    (disk / "out" / settings.recipe.label).mkdir(parents=True)
    with suppress(OSError), (disk / "filling").open("wb") as filling:
        while filling.write(bytes(4096)):
            filling.flush()
    cheap = [word for setting in CHEAP for word in ("--set", setting)]
    answer = subprocess.run(
        [Path(sys.executable).with_name("thermal-sr"), "run", archive, disk / "out", "--json", *cheap],
        env={**os.environ, **server.client, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    report = json.loads(answer.stdout)
    assert report["counts"]["failed"] == report["found"] == 1
    assert "make room" in report["scenes"][0]["reason"]


@pytest.mark.parametrize(
    "mtime",
    [0.0, time.time() - DAY_S, time.time() + DAY_S + 7200, 4.3e9],
    ids=["the epoch", "yesterday", "tomorrow and two hours", "the year 2106"],
)
def test_a_clock_that_is_wrong_loses_no_scene(tmp_path, mtime):
    archive = write_archive(tmp_path / "archive", 1)
    os.utime(archive / "scene_000.npz", (mtime, mtime))
    settings = cheap_settings(archive, tmp_path / "out", ["archive.settle_s=120"])
    plan = plan_night(settings)
    if not plan.todo:
        ((_, reason),) = plan.waiting
        assert "120 s" in reason
        os.utime(archive / "scene_000.npz", (1.6e9, 1.6e9))
    assert len(plan_night(settings).todo) == 1


def test_one_content_under_ten_names_is_one_product(tmp_path):
    archive = tmp_path / "archive"
    archive.mkdir()
    original = write_scene(archive / "scene.npz", 1)
    for number in range(9):
        shutil.copy(original, archive / f"copy_{number}.npz")
    settings = cheap_settings(archive, tmp_path / "out")
    assert [status for status, _ in night(settings)] == ["done"]
    assert len(products(settings)) == 1
    assert len(plan_night(settings).duplicates) == 9


@pytest.mark.slow
def test_ten_contents_under_one_name_are_ten_products(tmp_path):
    for number in range(10):
        folder = tmp_path / "archive" / f"day_{number}"
        folder.mkdir(parents=True)
        write_scene(folder / "scene.npz", number)
    settings = cheap_settings(tmp_path / "archive", tmp_path / "out")
    assert [status for status, _ in night(settings)] == ["done"] * 10
    assert len(products(settings)) == 10


def test_a_new_content_under_an_old_name_gets_a_product_beside_the_old_one(tmp_path):
    archive = write_archive(tmp_path / "archive", 1)
    settings = cheap_settings(archive, tmp_path / "out")
    night(settings)
    write_scene(archive / "scene_000.npz", 99)
    assert [status for status, _ in night(settings)] == ["done"]
    assert len(products(settings)) == 2
