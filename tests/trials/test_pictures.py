"""Ordinary pictures: levels there and back, figures as papers count them, and never a scene."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from flows.cli import app
from pipeline.archive.discover import discover
from pipeline.commands.one_scene import read_only_scene
from pipeline.errors import UnusableInputError
from pipeline.settings import ArchiveSettings, Settings
from pipeline.trials.pictures import find_sets, luminance, psnr_and_ssim, read_picture, reduced


def waves(shape=(64, 72)):
    """(y, x, 3) levels of soft hills, another in every band."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    bands = [127 + 100 * np.sin(x / (4 + band)) * np.cos(y / 5) for band in range(3)]
    return np.round(np.stack(bands, axis=-1)).astype(np.uint8)


@pytest.fixture
def root(tmp_path):
    for folder, name in (("Set5/GTmod12", "baby.png"), ("Set14", "face.jpg")):
        (tmp_path / folder).mkdir(parents=True)
        Image.fromarray(waves()).save(tmp_path / folder / name)
    (tmp_path / "Set5" / "LRbicx4").mkdir()
    Image.fromarray(waves((16, 18))).save(tmp_path / "Set5" / "LRbicx4" / "baby.png")
    return tmp_path


def run(*words):
    answer = CliRunner().invoke(app, [str(word) for word in words])
    assert answer.exit_code == 0, answer.output
    return answer


def test_luminance_is_that_of_the_standard():
    corners = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    np.testing.assert_allclose(luminance(corners)[0], [16, 235, 81.481, 144.553, 40.966], atol=1e-3)
    gray = np.full((2, 2, 1), 255, np.uint8)
    np.testing.assert_allclose(luminance(gray), 235)


def test_psnr_and_ssim_leave_the_border_out():
    truth = luminance(waves())
    answer = truth + 2.0
    answer[:4] = 0
    psnr_db, ssim = psnr_and_ssim(answer, truth, 4)
    assert psnr_db == pytest.approx(10 * np.log10(255**2 / 4))
    assert 0.99 < ssim < 1
    assert psnr_and_ssim(truth, truth, 4) == (float("inf"), pytest.approx(1))


@pytest.mark.parametrize("scale", [2, 4])
def test_the_reduction_is_the_anti_aliased_cubic_of_papers(scale):
    """Written out for one row: Keys' kernel, `scale` times as wide, borders mirrored."""
    row = waves((8 * scale, 40))[:, :, 0].astype(np.float64)
    small = reduced(np.repeat(row[..., None], 1, axis=2).astype(np.uint8), scale)[..., 0]
    assert small.shape == (8, 40 // scale)
    column = 5
    wanted = []
    center = scale * (column + 0.5) - 0.5
    places = np.arange(int(center - 2 * scale) - 1, int(center + 2 * scale) + 2)
    far = np.abs(places - center) / scale
    weights = np.where(far <= 1, 1.5 * far**3 - 2.5 * far**2 + 1, -0.5 * far**3 + 2.5 * far**2 - 4 * far + 2)
    weights = np.where(far < 2, weights, 0) / np.where(far < 2, weights, 0).sum()
    for line in range(8):
        rows = scale * (line + 0.5) - 0.5 + places - center
        rows = np.abs(rows.astype(int) + (rows < 0)) - (rows < 0)
        rows = np.where(rows >= 8 * scale, 16 * scale - 1 - rows, rows)
        wanted.append(weights @ row[rows][:, places] @ weights)
    np.testing.assert_allclose(small[2:-2, column], np.round(wanted)[2:-2], atol=1)


def test_a_folder_of_sets_is_benchmarked_by_its_full_pictures(root, tmp_path):
    assert {name: [file.name for file in files] for name, files in find_sets(root).items()} == {
        "Set5": ["baby.png"],
        "Set14": ["face.jpg"],
    }
    assert list(find_sets(root / "Set14")) == ["Set14"]
    told = run("benchmark", root, "--networks", "prior", "--scales", "2", "--json")
    kept = json.loads(told.stdout)
    means = {(row["set"], row["method"]): row for row in kept["means"]}
    assert set(means) == {(name, method) for name in ("Set5", "Set14") for method in ("bicubic", "prior")}
    for row in kept["rows"]:
        assert 25 < row["psnr_db"] < 70
        assert 0.8 < row["ssim"] <= 1


def test_a_picture_is_made_finer_and_says_that_it_has_no_kelvin(root):
    out = root / "finer.png"
    answer = run("picture", root / "Set14" / "face.jpg", "--out", out, "--set", "recipe.detail=none")
    assert "no kelvin" in answer.stderr
    with Image.open(out) as finer:
        assert (finer.size, finer.mode) == ((4 * 72, 4 * 64), "L")
        assert "no kelvin" in finer.text["Comment"]
        small = np.asarray(finer.resize((72, 64), Image.Resampling.BOX)).astype(float)
    levels = luminance(read_picture(root / "Set14" / "face.jpg"))
    assert np.abs(small - levels).mean() < 1.5


def test_a_picture_is_never_a_scene_of_an_archive(root):
    found = discover(ArchiveSettings(root=root, settle_s=0))
    assert (found.scenes, found.refused) == ([], [])


@pytest.mark.parametrize("root_and_name", ["Set14/face.jpg", "Set5/GTmod12/baby.png"])
def test_a_picture_given_as_a_scene_is_refused_with_the_verb_that_is_for_it(root, root_and_name):
    reason = "a picture, which has no kelvin; `thermal-sr picture FILE` enlarges one"
    settings = ArchiveSettings(root=root / root_and_name, settle_s=0)
    assert [why for _, why in discover(settings).refused] == [f"is no NetCDF: {reason}"]
    with pytest.raises(UnusableInputError, match=f"^{(root / root_and_name).name}: GeoTIFF .*{reason}$"):
        read_only_scene(Settings(archive=settings))


@pytest.mark.parametrize(("name", "content"), [("cut.png", None), ("words.jpg", b"no picture")])
def test_what_is_no_picture_is_refused_in_one_line(root, name, content):
    whole = (root / "Set5" / "GTmod12" / "baby.png").read_bytes()
    (root / name).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(UnusableInputError, match=f"{name}: is no picture that can be read: [^\\n]+$"):
        read_picture(root / name)
    (root / "empty").mkdir()
    with pytest.raises(UnusableInputError, match="no PNG, JPEG or BMP in it"):
        find_sets(root / "empty")
