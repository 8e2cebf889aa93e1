"""Where the sun stands: the example of the reference algorithm, and the poles of a day."""

from datetime import UTC, datetime

import pytest

from pipeline.sun import sun_position


def test_the_example_of_the_reference_algorithm():
    """Reda and Andreas, Solar Position Algorithm, NREL/TP-560-34302, table A5.1, without refraction."""
    moment = datetime(2003, 10, 17, 19, 30, 30, tzinfo=UTC)
    elevation, azimuth = sun_position(moment, -105.1786, 39.742476)
    assert elevation == pytest.approx(39.872, abs=0.02)
    assert azimuth == pytest.approx(194.340, abs=0.02)


def test_at_midnight_the_sun_is_below_the_horizon():
    assert sun_position(datetime(2024, 1, 1, 0, 0, tzinfo=UTC), 0.0, 48.0)[0] < -60
