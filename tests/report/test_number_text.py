from __future__ import annotations

import pytest

from paddle_mobileseg.report.number_text import mb_text, ms_text, percent, records_text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "not measured"),
        (1.0, "100 %"),
        (0.99999952, "99.9999 %"),
        (0.99995, "99.9950 %"),
        (0.9876, "98.76 %"),
        (0.00012, "0.01 %"),
        (0.0000021, "0.0002 %"),
        (0.0, "0 %"),
    ],
)
def test_per_cent_is_all_or_none_only_where_that_is_so(share: float | None, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "not measured"),
        (0.003, "0.00300"),
        (0.05, "0.0500"),
        (0.5, "0.500"),
        (9.999, "10.0"),
        (12.34, "12.3"),
        (99.94, "99.9"),
        (99.96, "100"),
        (12345.6, "12,346"),
    ],
)
def test_milliseconds_have_three_digits(value: float | None, text: str) -> None:
    assert ms_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "not measured"), (5e-6, "5e-06"), (0.04, "0.04"), (4.26, "4.3"), (1234.5, "1,234")]
)
def test_megabytes(value: float | None, text: str) -> None:
    assert mb_text(value) == text


def test_one_record_and_several() -> None:
    assert (records_text(1), records_text(2)) == ("1 record", "2 records")
