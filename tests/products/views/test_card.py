from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipeline.grid import Window
from pipeline.products.views.card import _percent, write_card
from pipeline.products.views.verdict import described, headline, number_lines
from pipeline.raster import bicubic
from tests.products.known import field_k, make_context, make_enhancement


def test_a_plane_enlarged_bicubically_is_the_plane():
    rows, columns = np.mgrid[:30, :40] + 0.5
    plane = (300 + 0.2 * rows - 0.1 * columns).astype(np.float32)
    fine_rows, fine_columns = (np.mgrid[32:64, 40:88] + 0.5) / 4
    enlarged = bicubic(plane, Window(8, 10, 8, 12), 4)
    np.testing.assert_allclose(enlarged, 300 + 0.2 * fine_rows - 0.1 * fine_columns, atol=1e-3)


def test_missing_pixels_stay_missing_in_bicubic_and_do_not_spread():
    values = np.full((20, 20), 300, np.float32)
    values[5:8, 5:8] = np.nan
    enlarged = bicubic(values, Window(0, 0, 20, 20), 4)
    np.testing.assert_array_equal(np.isnan(enlarged), np.isnan(values).repeat(4, 0).repeat(4, 1))
    assert np.nanmax(np.abs(enlarged - 300)) < 1e-3


def test_bicubic_of_a_window_is_the_window_of_bicubic():
    rows, columns = np.mgrid[:40, :40]
    values = field_k(rows, columns).astype(np.float32)
    part = bicubic(values, Window(10, 12, 8, 9), 4)
    np.testing.assert_allclose(part, bicubic(values, Window(0, 0, 40, 40), 4)[40:72, 48:84], atol=1e-4)


def test_numbers_are_said_with_their_units_what_matters_most_first():
    known = {"min_k": 290.123456, "valid_fraction": 0.956, "consistency_bias_k": 0.00012, "gain": 1}
    assert number_lines({**known, "resolution_product_m": 17.5, "domain": "kelvin"}) == [
        ("gain", "1"),
        ("consistency bias", "0.0001 K"),
        ("resolution product", "17.5 m"),
        ("domain", "kelvin"),
        ("valid", "95.6 %"),
        ("min", "290.1 K"),
    ]


def test_what_is_not_known_is_left_out():
    assert number_lines({"gain": None, "min_k": float("nan"), "domain": "", "strange_k": 1.0}) == []


CURVES = {
    "none": [],
    "one point": [(0, 0.5, None)],
    "no validation": [(step, 1 / (step + 1), None) for step in range(9)],
    "all": [(step, 1 / (step + 1), 2 / (step + 1)) for step in range(9)],
    "exploded": [(0, 0.5, 0.5), (1, float("inf"), float("nan")), (2, -1.0, 0.0)],
}


@pytest.mark.parametrize("curve", CURVES.values(), ids=list(CURVES))
def test_it_is_drawn_whatever_is_known(tmp_path, curve):
    context = make_context(make_enhancement(), tmp_path, curve=curve, figures={})
    (path,) = write_card(context.files.store, context)
    with Image.open(path) as picture:
        assert min(picture.size) > 1500
        assert len(picture.convert("RGB").getcolors(2**24)) > 500


@pytest.mark.parametrize(
    ("figures", "wanted"),
    [
        ({"gain": 0.79}, ("sharpened by the network, gain 0.79", True)),
        (
            {"gain": 0.79, "selftest_skill_vs_base": 0.013, "selftest_skill_vs_bicubic": 0.2},
            ("sharpened by the network, gain 0.79; self-test +1.3% on the base", True),
        ),
        (
            {"gain": 0.79, "selftest_skill_vs_base": -0.003, "selftest_skill_vs_bicubic": 0.2},
            ("sharpened by the network, gain 0.79; self-test -0.3% on the base", False),
        ),
        (
            {"gain": 0, "selftest_skill_vs_base": 0.0, "selftest_skill_vs_bicubic": 0.17},
            ("sharpened by the base, no network", True),
        ),
        (
            {"gain": 0, "noise_warning": "noise 0.1 K assumed, 0.4 K estimated"},
            ("sharpened by the base, no network. Warning: noise 0.1 K assumed, 0.4 K estimated", False),
        ),
        (
            {"gain": 0.88, "selftest_skill_vs_base": 3e-7},
            ("sharpened by the network, gain 0.88; self-test +0.0% on the base", False),
        ),
    ],
)
def test_the_headline_is_no_better_than_the_self_test(tmp_path, figures, wanted):
    assert headline(make_context(make_enhancement(), tmp_path, figures=figures)) == wanted


def test_a_product_is_described_in_one_line(tmp_path):
    enhancement = make_enhancement()
    told = {"day_or_night": "night", "source_level": "L2", "source_collection": "002"}
    scene = replace(enhancement.scene, edition=told)
    context = make_context(replace(enhancement, scene=scene), tmp_path)
    assert described(context) == (
        "surface temperature, ECOSTRESS PHyTIR, L2 collection 002, 2024-07-28T20:40:25Z (night), x4, "
        "70 m to 17.5 m"
    )
    plain = replace(enhancement.scene, ref=replace(scene.ref, acquired=None), gsd_m=(np.nan, np.nan))
    context = replace(context, enhancement=replace(enhancement, scene=plain))
    assert described(context) == "surface temperature, ECOSTRESS PHyTIR, undated, x4"


@pytest.mark.parametrize(
    ("fraction", "words"), [(0.0, "0 %"), (5e-7, "< 0.01 %"), (0.0049, "0.49 %"), (0.85, "85 %")]
)
def test_a_share_is_said_without_powers_of_ten(fraction, words):
    assert _percent(fraction) == words


def test_an_alarm_is_written_over_the_card(tmp_path):
    pictures = []
    for name, alarm in (("calm", ""), ("alarmed", "noise is 97% of the finest octave")):
        context = make_context(make_enhancement(), tmp_path / name, figures={"scale_alarm": alarm})
        (path,) = write_card(context.files.store, context)
        with Image.open(path) as picture:
            pictures.append(np.asarray(picture.convert("L"), dtype=float))
    changed = np.flatnonzero(np.abs(pictures[0] - pictures[1]).max(axis=1) > 50)
    headline = changed[changed < 0.05 * pictures[0].shape[0]]
    assert headline.size > 10


def test_without_a_training_the_self_tests_tiles_are_shown(tmp_path):
    drawn = {}
    for name, counts in (("nothing", [0, 0, 0]), ("lost", [0, 0, 9]), ("won", [5, 4, 0])):
        made = replace(
            make_enhancement(),
            provenance={"selftest": {"vs_bicubic": {"edges": [0.8, 0.9, 1.0, 1.1], "tiles": counts}}},
        )
        context = make_context(made, tmp_path / name)
        (path,) = write_card(context.files.store, context)
        with Image.open(path) as picture:
            width, height = picture.size
            corner = picture.convert("RGB").crop((0, int(0.8 * height), width // 3, height))
        colors = {color: count for count, color in corner.getcolors(2**24)}
        drawn[name] = [colors.get(color, 0) for color in ((0x38, 0x76, 0x1D), (0xF6, 0xB2, 0x6B))]
    assert drawn["nothing"] == [0, 0]
    assert drawn["lost"][0] == 0 < drawn["lost"][1]
    assert drawn["won"][1] == 0 < drawn["won"][0]
