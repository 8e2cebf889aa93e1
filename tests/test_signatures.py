"""Shapes in signatures are checked while the tests run."""

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from pipeline import raster


def test_an_array_of_another_kind_than_the_signature_says_is_refused():
    with pytest.raises(TypeCheckError, match="block_means"):
        raster.block_means(np.zeros(6, np.float32), 2)
