"""Numbers as tables print them."""

from __future__ import annotations

import math


def giga(macs: float) -> str:
    """MACs in GMACs: three decimals, and below 0.1 three digits, of at most six decimals.

    >>> giga(4_089_000_000), giga(4_583_210), giga(90)
    ('4.089', '0.00458', '0.000000')
    """
    value = macs / 1e9
    leading = -math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{min(max(3, leading + 2), 6)}f}"
