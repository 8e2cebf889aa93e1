import html
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pipeline.text import (
    LONGEST_TEXT,
    latin_line,
    markdown_code,
    markdown_safe,
    one_line,
    plain_json,
    shortened,
    table_cell,
)


@given(st.text(max_size=2000))
def test_any_text_becomes_one_short_printable_line(text):
    line = one_line(text)
    assert len(line) <= LONGEST_TEXT
    assert line.isprintable()
    assert one_line(line) == line


@given(st.text(max_size=300))
def test_a_part_of_a_sentence_is_short(text):
    assert len(shortened(text)) <= 120
    assert shortened(text, 40) == one_line(text, 40)


def test_terminal_codes_and_reversed_text_disappear():
    assert one_line("a\x1b[31mred\x1b[0m\r\nb\u202etxt.exe") == "a red b txt.exe"


@given(st.text())
def test_no_cell_starts_a_formula(text):
    assert table_cell(text)[:1] not in ("=", "+", "-", "@")


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "  =1"])
def test_formulas_become_text(text):
    assert table_cell(text).startswith("'")


def test_numbers_stay_numbers_in_a_table():
    assert [table_cell(value) for value in (-1.5, 3, None, float("nan"), "x")] == ["-1.5", "3", "", "", "x"]


@given(st.text())
def test_png_words_are_latin(text):
    latin_line(text).encode("latin-1")


def test_numpy_numbers_become_plain():
    plain = plain_json(
        {"a": np.float32(1.5), "b": [np.int64(2)], "c": np.float64("inf"), "d": np.bool_(True)}
    )
    assert plain == {"a": 1.5, "b": [2], "c": None, "d": True}


def test_pixels_are_no_metadata():
    with pytest.raises(TypeError, match="ndarray has no plain JSON form"):
        plain_json({"pixels": np.zeros(3)})


HOSTILE_WORDS = [
    "[here](http://bad.example)",
    "![x](y)",
    "<img src=x onerror=alert(1)>",
    "a | b |",
    "**bold** _it_ ~~no~~ `code`",
    "# heading",
    "- item",
    "1. item",
    "&lt;b&gt;",
    "http://bad.example www.bad.example a@bad.example",
    "line\nbreak",
    "back\\slash",
]


def page(words):
    """The words in a paragraph, a list and a table, as HTML."""
    made = MarkdownIt("gfm-like", {"linkify": False})
    return made.render(f"{words}\n\n- {words}\n\n| a |\n| --- |\n| {words} |\n")


@pytest.mark.parametrize("words", HOSTILE_WORDS)
def test_words_from_files_are_shown_letter_for_letter_on_a_page(words):
    shown = page(markdown_safe(words))
    plain = html.escape(one_line(words))
    assert shown == page("word").replace("word", plain)


@pytest.mark.parametrize("words", HOSTILE_WORDS)
def test_code_stays_code(words):
    shown = page(markdown_code(words))
    assert len(re.findall(r"<code>[^<>]*</code>", shown)) == 3
    assert re.sub(r"<code>[^<>]*</code>", "word", shown) == page("word")


def test_addresses_do_not_become_links():
    assert markdown_safe("http://a.example www.a.example b@c") == r"http\://a.example www\.a.example b\@c"
