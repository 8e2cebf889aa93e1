"""The golden run: what twelve small scenes become, kept as digests, so that no rearrangement changes a pixel.

Bits depend on the machine (its vector instructions, its linear algebra), so `golden.json` says on which one
they were made. There the digests must be equal. On another machine the same run is compared by block means,
to a few millikelvin. `python -m tests.golden.remake` writes the file anew after a change that is meant to
change pixels; the change notes then say which case changed and why.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.golden.cases import CASES, machine, summary_of

KEPT = json.loads(Path(__file__).with_name("golden.json").read_text(encoding="utf-8"))
BLOCK_MEAN_K = 0.005  # bfloat16 or not, one thread or two: 3.5 mK RMS at most, and less in a block's mean


def test_every_case_is_kept():
    assert sorted(KEPT["cases"]) == sorted(CASES)


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_pixels_are_those_of_before(name, real_scenes):
    found, kept = summary_of(name, real_scenes), KEPT["cases"][name]
    if machine() == KEPT["machine"]:
        assert {key: found[key] for key in ("temperature", "uncertainty", "flag", "gain")} == {
            key: kept[key] for key in ("temperature", "uncertainty", "flag", "gain")
        }
    for key in ("temperature_means_k", "uncertainty_means_k"):
        np.testing.assert_allclose(found[key], kept[key], atol=BLOCK_MEAN_K, equal_nan=True)
    assert found["flag_counts"] == kept["flag_counts"]
