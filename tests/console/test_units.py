"""GMACs as tables print them."""

from __future__ import annotations

import random

from hiergen.console.terminal import giga


def test_giga() -> None:
    shown = {4_089_000_000: "4.089", 100_000_000: "0.100", 99_600_000: "0.0996", 4_583_210: "0.00458", 90: "0.000000"}
    assert {macs: giga(macs) for macs in shown} == shown
    assert giga(0) == "0.000"


def test_three_digits_are_right() -> None:
    draw = random.Random(0)
    for _ in range(2000):
        macs = round(10 ** draw.uniform(4, 12))
        assert abs(float(giga(macs)) - macs / 1e9) <= max(0.5e-6, min(0.5e-3, 0.0051 * macs / 1e9)), macs
