"""A part of the hostile cases in every run of the tests; `hostile_cases` alone makes and tells more."""

from tests.archive.hostile_cases import run


def test_no_hostile_file_is_more_than_a_line(tmp_path):
    counts, words, slowest_s = run(tmp_path, 110, seed=1)
    assert sum(sum(found.values()) for found in counts.values()) == 110
    assert [line for line in words if " wrong: " in line or "not foreseen" in line] == []
    assert counts["crash"] == {"reader ended": 1}
    assert slowest_s < 30
