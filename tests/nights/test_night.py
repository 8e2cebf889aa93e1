"""What a night plans: shares that add up on every machine, and nothing written where nothing is."""

import shutil

import numpy as np
import pytest

from pipeline.errors import SettingsError
from pipeline.nights.night import cost_remark, plan_night
from pipeline.recipe_files import prior_path
from pipeline.settings_sources import load_settings


def settings_of(archive, *more):
    roots = (f"archive.root={archive}", f"output.root={archive.parent / 'out'}", "archive.settle_s=0")
    return load_settings(assignments=[*roots, *more], environment={})


def write_mixed_archive(folder):
    """Scenes, duplicates and files that wait."""
    (folder / "below").mkdir(parents=True)
    for number in range(4):
        np.savez(folder / f"{number}.npz", temperature=np.full((8, 9), 290 + number, np.float32), units="K")
        shutil.copy(folder / f"{number}.npz", folder / "below" / f"copy {number}.npz")
        (folder / "below" / f"late_{number}.tif.part").write_bytes(b"")
    return folder


def test_files_that_are_no_scenes_are_counted_by_their_ending(tmp_path):
    archive = write_mixed_archive(tmp_path / "archive")
    before = plan_night(settings_of(archive)).found
    for name in ("notes.txt", "more.TXT", "below/README", ".hidden", "LC08_L1TP_040028_20140712_MTL.txt"):
        (archive / name).write_text("")
    plan = plan_night(settings_of(archive))
    assert plan.no_scenes == {".txt": 2, "no ending": 1}
    assert plan.found == before + 3
    assert sum(plan_night(settings_of(archive, f'run.shard="{k}/3"')).found for k in (1, 2, 3)) == plan.found


def shares(archive):
    """For each of three machines the names of what its share holds, by kind."""
    found = []
    for part in (1, 2, 3):
        plan = plan_night(settings_of(archive, f'run.shard="{part}/3"'))
        below = [path.removeprefix(f"{archive}/") for path, _ in (*plan.waiting, *plan.duplicates)]
        found.append(({ref.scene_id for ref in plan.todo}, set(below)))
    return found


def test_shares_are_the_same_wherever_the_archive_is_mounted(tmp_path):
    here = write_mixed_archive(tmp_path / "here" / "archive")
    there = tmp_path / "another" / "mount" / "point"
    shutil.copytree(here, there)
    assert shares(here) == shares(there)


def test_shares_add_up_to_the_whole(tmp_path):
    archive = write_mixed_archive(tmp_path / "archive")
    whole = plan_night(settings_of(archive))
    assert whole.found == 12
    assert sum(len(scenes) + len(others) for scenes, others in shares(archive)) == whole.found


@pytest.mark.parametrize(
    ("assignments", "times"),
    [
        ((), None),
        (("recipe.infer.mode=shifts", "recipe.infer.num_shift_passes=6"), "6.0"),
        (("recipe.infer.mode=blend", "recipe.infer.overlap_fraction=0.5"), "4.0"),
    ],
)
def test_a_recipe_of_many_passes_says_what_it_costs(assignments, times):
    remark = cost_remark(load_settings(assignments=assignments, environment={}).recipe)
    assert (remark == "") if times is None else (f"at least {times} times" in remark)


def test_a_prior_that_changed_since_the_settings_were_read_is_said_once_before_the_night(tmp_path):
    archive, prior = write_mixed_archive(tmp_path / "archive"), tmp_path / "prior.safetensors"
    shipped = prior_path("shipped").read_bytes()
    prior.write_bytes(shipped)
    settings = settings_of(archive, f"recipe.prior='{prior}'")
    assert plan_night(settings).todo
    prior.write_bytes(shipped + b" ")
    with pytest.raises(SettingsError, match=r"recipe\.prior: '.*prior\.safetensors' has changed: sha256 "):
        plan_night(settings)
    assert not settings.output.root.exists()
