"""Random numbers that are the same to the bit on every machine: raw PCG64 words, and logarithms by plain arithmetic.

numpy guarantees the streams of its bit generators, not those of `Generator`'s distributions; the C library's `log` may
differ in the last digit between machines. Each block of numbers has a key of its own, so nothing of the generator needs
to be kept to go on from a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TERMS = 16  # of atanh's series for |z| <= 1/3: below 1e-16


def uniforms(key: Sequence[int], *shape: int) -> NDArray[np.float64]:
    """Numbers in (0, 1), on a grid of 2^-52, of the block named by `key` (non-negative integers)."""
    raw = np.random.PCG64(np.random.SeedSequence(list(key))).random_raw(int(np.prod(shape)))
    words = np.asarray(raw, dtype=np.uint64) >> np.uint64(12)
    found: NDArray[np.float64] = ((words.astype(np.float64) + 0.5) * 2.0**-52).reshape(shape)
    return found


def exponentials(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """-ln(u), from additions, products and quotients only (each rounded as IEEE 754 says, on every machine)."""
    mantissa, exponent = np.frexp(u)
    z = (mantissa - 1) / (mantissa + 1)
    square, power, total = z * z, z, np.zeros_like(z)
    for k in range(_TERMS):
        total = total + power / (2 * k + 1)
        power = power * square
    found: NDArray[np.float64] = -(2 * total + exponent * 0.6931471805599453)
    return found


def permutation(key: Sequence[int], n: int) -> list[int]:
    """0 … n - 1 in an order drawn at random."""
    order: Any = np.argsort(uniforms(key, n), kind="stable")
    return [int(i) for i in order]
