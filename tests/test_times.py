from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.times import from_iso, iso_utc, now_utc


@given(st.datetimes(min_value=datetime(1960, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_a_time_survives_the_way_to_text_and_back(moment):
    assert from_iso(iso_utc(moment)) == moment.replace(microsecond=0)


def test_other_zones_are_converted_and_none_is_utc():
    assert iso_utc(from_iso("2026-08-01T12:00:00+02:00")) == "2026-08-01T10:00:00Z"
    assert iso_utc(from_iso("2026-08-01T12:00:00")) == "2026-08-01T12:00:00Z"
    assert abs(from_iso(now_utc()) - datetime.now(UTC)).total_seconds() < 60


def test_no_time_is_refused():
    with pytest.raises(ValueError, match="Invalid isoformat"):
        from_iso("tomorrow")
