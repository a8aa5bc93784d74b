"""The random-number generator: the authors' known answers, streams that never meet, numbers that look uniform."""

from __future__ import annotations

import itertools

import array_api_strict
import numpy as np
import pytest

from nnkit.kernels.philox import PURPOSES, philox, uniforms, words

#: Random123's kat_vectors for philox4x32-10: counter, key, result.
KNOWN_ANSWERS = (
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
)


def numbers(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize("xp", [np, array_api_strict], ids=["numpy", "strict"])
@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_known_answers(xp: object, counter: str, key: str, expected: str) -> None:
    def arrays(text: str) -> list[object]:
        return [xp.asarray([n], dtype=xp.uint64) for n in numbers(text)]  # type: ignore[attr-defined]

    c0, c1, c2, c3 = arrays(counter)
    k0, k1 = arrays(key)
    result = philox(xp, (c0, c1, c2, c3), (k0, k1))
    assert [int(word[0]) for word in result] == numbers(expected)


def test_a_draw_is_philox_of_block_and_purpose_and_draw_number_under_the_seed() -> None:
    seed, purpose, number = 0x299F31D0A4093822, 2, 0x0370734413198A2E
    counter = [np.array(column, np.uint64) for column in ([0, 1, 2], [2, 2, 2], [0x13198A2E] * 3, [0x03707344] * 3)]
    key = np.array([0xA4093822], np.uint64), np.array([0x299F31D0], np.uint64)
    blocks = np.stack(philox(np, (counter[0], counter[1], counter[2], counter[3]), key), axis=1)
    np.testing.assert_array_equal(draw(12, purpose, seed, number), blocks.reshape(-1))


def draw(count: int, purpose: int = 0, seed: int = 0, number: int = 0) -> np.ndarray:
    return words(np, count, purpose, np.array([seed]), np.array([number]))


def test_a_prefix_of_a_draw_does_not_depend_on_its_length() -> None:
    whole = draw(101)
    for count in (0, 1, 3, 4, 5, 100):
        np.testing.assert_array_equal(draw(count), whole[:count])


def test_streams_of_other_seeds_draws_and_purposes_share_nothing() -> None:
    keys = itertools.product(PURPOSES.values(), (0, 1, -1, 2**32), (0, 1, 2**32, 2**33))
    streams = [tuple(draw(8, *key).tolist()) for key in keys]
    flat = [word for stream in streams for word in stream]
    assert len(set(streams)) == len(streams)
    assert len(set(flat)) > 0.999 * len(flat), "32-bit words of different streams coincide by chance only"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniforms_are_exact_multiples_of_2_to_the_minus_24_below_1(dtype: str) -> None:
    u = uniforms(np, draw(10_000), np.dtype(dtype))
    assert u.dtype == dtype
    assert u.min() >= 0.0 and u.max() < 1.0
    np.testing.assert_array_equal(u * 2.0**24, np.floor(u * 2.0**24))
    ends = uniforms(np, np.array([0, 2**32 - 1], np.uint64), np.dtype(dtype))
    assert ends.tolist() == [0.0, 1.0 - 2.0**-24]


@pytest.mark.parametrize("purpose", PURPOSES.values(), ids=PURPOSES)
def test_uniforms_have_the_moments_of_a_uniform_distribution(purpose: int) -> None:
    """Within four standard errors: 0.289 / sqrt(n) for the mean, 0.0745 / sqrt(n) for the variance."""
    n = 100_000
    u = uniforms(np, draw(n, purpose, seed=3), np.dtype(np.float64))
    assert abs(u.mean() - 0.5) < 4 * 0.289 / n**0.5
    assert abs(u.var() - 1 / 12) < 4 * 0.0745 / n**0.5
    counts = np.histogram(u, 16, (0, 1))[0]
    assert ((counts - n / 16) ** 2 / (n / 16)).sum() < 45, "chi-squared with 15 degrees of freedom, p = 1e-4"
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 4 / n**0.5
