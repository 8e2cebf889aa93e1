import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.optics import BOX_MTF_NYQUIST, TYPICAL_PSF_SIGMA_PX, sigma_from_mtf


@given(st.floats(0.05, 0.63))
def test_sigma_gives_back_the_contrast_it_was_made_of(mtf):
    sigma = sigma_from_mtf(mtf)
    assert BOX_MTF_NYQUIST * math.exp(-((math.pi * sigma) ** 2) / 2) == pytest.approx(mtf)


def test_the_detector_alone_has_no_gaussian():
    assert sigma_from_mtf(BOX_MTF_NYQUIST) == 0
    assert sigma_from_mtf(0.29) == pytest.approx(TYPICAL_PSF_SIGMA_PX, abs=2e-3)


@pytest.mark.parametrize("mtf", [0.0, -0.1, 0.64, 1.0])
def test_an_impossible_contrast_is_refused(mtf):
    with pytest.raises(ValueError, match=r"above 0 and at most 0\.637"):
        sigma_from_mtf(mtf)
