"""Networks beside one another: every figure is there, and a network that loses is shown as losing."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import SettingsError
from pipeline.settings_sources import load_settings
from pipeline.trials.compare import COLUMNS, Row, compare, mean_rows, network_words, write_comparison
from pipeline.trials.evaluate import degradation
from tests.scenes import scene_of, truth_and_lr
from tests.superres.networks.published import as_pth, made

QUICK = ("recipe.scale=2", "recipe.gate.enabled=false", "recipe.infer.self_ensemble=false")


def settings_of(name, *words):
    return load_settings(assignments=[*network_words(name), *QUICK, *words], environment={})


@pytest.fixture(scope="module")
def comparison():
    truth, _ = truth_and_lr(96, 2, seed=5)
    short = ("recipe.train.steps=20", "recipe.network.channels=8", "recipe.pairs.batch=2")
    networks = {
        "srcnn": settings_of("srcnn", *short),
        "prior": settings_of("prior"),
    }
    return compare(scene_of(truth), networks, degraded=degradation("mtf", 2), noise_k=0.0, size_px=96)


def figures(comparison):
    return {row.figures["method"]: row.figures for row in comparison.rows}


def test_every_method_has_every_figure(comparison):
    rows = figures(comparison)
    assert list(rows) == ["bicubic", "back_projected", "tikhonov", "srcnn", "prior"]
    assert all(set(COLUMNS) == set(row) for row in rows.values())
    assert rows["srcnn"]["parameters"] == 81 * 8 + 8 + 8 * 4 + 4 + 25 * 4 + 1
    assert rows["prior"]["rmse_k"] < rows["bicubic"]["rmse_k"]
    assert all(row["process_s"] >= 0 and row["peak_mib"] > 0 for row in rows.values())


def test_the_same_scene_is_recovered_by_all(comparison):
    assert {row.answer.shape for row in comparison.rows} == {comparison.truth.shape}
    errors = {
        row.figures["method"]: float(np.sqrt(np.mean((row.answer - comparison.truth)[4:-4, 4:-4] ** 2)))
        for row in comparison.rows
    }
    assert errors == pytest.approx({name: row["rmse_k"] for name, row in figures(comparison).items()})


def test_a_network_that_loses_is_shown_as_losing(comparison):
    bicubic = comparison.rows[0].figures
    loser = Row({**bicubic, "method": "loser", "rmse_k": 2 * bicubic["rmse_k"]}, comparison.truth)
    another = dataclasses.replace(comparison, rows=(*comparison.rows, loser))
    means = {row["method"]: row for row in mean_rows([another, another])}
    assert (means["loser"]["rmse_over_bicubic"], means["loser"]["scenes_worse_than_bicubic"]) == (
        pytest.approx(2),
        2,
    )
    assert means["bicubic"]["rmse_over_bicubic"] == 1
    for name, row in figures(comparison).items():
        ratio = row["rmse_k"] / bicubic["rmse_k"]
        assert means[name]["rmse_over_bicubic"] == pytest.approx(ratio)
        assert means[name]["scenes_worse_than_bicubic"] == 2 * (ratio > 1)


def test_table_data_and_picture_are_written(comparison, tmp_path):
    table, plain, picture = write_comparison([comparison], tmp_path / "new", "thermal-sr compare ...")
    with table.open(newline="") as file:
        read = list(csv.DictReader(file))
    kept = json.loads(plain.read_text())
    assert [row["method"] for row in read] == [row["method"] for row in kept["rows"]]
    assert float(read[0]["rmse_k"]) == pytest.approx(kept["rows"][0]["rmse_k"])
    assert kept["command"] == "thermal-sr compare ..."
    with Image.open(picture) as drawn:
        assert drawn.size[0] > 700


def test_weights_of_others_are_compared_like_any_network(tmp_path):
    """In full; what says how networks are trained is nothing to them."""
    file = tmp_path / "srcnn.pth"
    file.write_bytes(as_pth(made("srcnn", bands=1)))
    networks = {"theirs": settings_of(f"pretrained:{file}", "recipe.gate.enabled=false")}
    assert network_words(f"pretrained:{file}", ["recipe.train.steps=9", "recipe.seed=1"])[1:] == [
        "recipe.seed=1"
    ]
    truth, _ = truth_and_lr(64, 2, seed=5)
    found = compare(scene_of(truth), networks, degraded=degradation("mtf", 2), noise_k=0.0, size_px=64)
    rows = figures(found)
    assert rows["theirs"]["parameters"] == 8 * 81 + 8 + 4 * 8 * 25 + 4 + 4 * 25 + 1
    assert rows["theirs"]["rmse_k"] > rows["tikhonov"]["rmse_k"]  # weights drawn by lot are shown as losing


def test_short_names_stand_for_settings():
    assert settings_of("swinir:standard").recipe.network.size == "standard"
    assert settings_of("attention:hspa").recipe.network.attention == "hspa"
    with pytest.raises(SettingsError, match="'edsr'"):
        settings_of("edsr")
