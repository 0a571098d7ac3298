"""Numbers as the pages write them. What was measured is never rounded to 0, nor to all."""

from __future__ import annotations

NOT_MEASURED = "not measured"


def percent(share: float | None) -> str:
    """A share (0 to 1) as per cent; 100 % only where nothing is missing, 0 % only where there is nothing.

    >>> percent(1.0), percent(0.9999995), percent(0.98), percent(2e-6), percent(0.0)
    ('100 %', '99.9999 %', '98.00 %', '0.0002 %', '0 %')
    """
    if share is None:
        return NOT_MEASURED
    if share in (0, 1):
        return f"{100 * share:.0f} %"
    if share < 0.0001:
        return f"{100 * share:.1g} %"
    return f"{100 * share:.2f} %" if share < 0.9999 else f"{min(100 * share, 99.9999):.4f} %"


def ms_text(value: float | None) -> str:
    """Milliseconds with three significant digits, from 100 on as a whole number.

    >>> ms_text(1234.5), ms_text(12.345), ms_text(0.00312)
    ('1,234', '12.3', '0.00312')
    """
    if value is None:
        return NOT_MEASURED
    return f"{value:,.0f}" if value >= 99.95 else f"{value:#.3g}"


def mb_text(value: float | None) -> str:
    """1,000,000 bytes, with one decimal where there are few."""
    if value is None:
        return NOT_MEASURED
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 0.1 else f"{value:.1g}"


def records_text(count: int) -> str:
    """``1 record``, ``2 records``."""
    return f"{count} record{'' if count == 1 else 's'}"
