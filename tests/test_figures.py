import ast
from pathlib import Path

import pytest

import pipeline.products
from pipeline.figures import FIGURES, GAIN, VALID, matter_most

PRODUCTS = sorted(Path(pipeline.products.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("path", PRODUCTS, ids=lambda path: path.stem)
def test_products_take_the_names_of_figures_from_the_catalog(path):
    texts = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
    assert not texts & FIGURES.keys()


def test_every_figure_says_what_it_means():
    for name, figure in FIGURES.items():
        assert figure.name == name
        assert figure.meaning.endswith(".")
        assert figure.label
        for ending, unit in (("_k", "K"), ("_px", "px"), ("_m", "m"), ("_fraction", "fraction")):
            assert name.endswith(ending) == (figure.unit == unit)


def test_numbers_words_and_what_is_unknown():
    assert (VALID.value({VALID.name: 0.5}), VALID.text({VALID.name: 0.5})) == (0.5, "50 %")
    for unknown in ({}, {GAIN.name: None}, {GAIN.name: float("nan")}):
        assert (GAIN.value(unknown), GAIN.text(unknown)) == (None, "")
    assert (GAIN.value({GAIN.name: "none"}), GAIN.text({GAIN.name: "none"})) == (None, "none")


def test_a_count_is_said_with_all_its_digits():
    assert FIGURES["selftest_pixels"].text({"selftest_pixels": 117952.0}) == "117,952"
    assert FIGURES["clipped_pixels"].text({"clipped_pixels": 0.0}) == "0"


def test_what_matters_most_are_the_first_figures_of_the_card_that_are_known():
    known = dict.fromkeys(FIGURES, 1.0) | {"gain": None, "selftest_rmse_k": float("nan")}
    most = [figure.name for figure in matter_most(known)]
    assert most[:2] == ["selftest_skill_vs_base", "selftest_skill_vs_bicubic"]
    assert len(most) == 8
    assert most == [name for name, one in FIGURES.items() if one.on_card and one.text(known)][:8]
