"""The generator behind the list: NIST's known answers, and no favoured numbers."""

from __future__ import annotations

import hmac
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from randomization.domain.drbg import HmacDrbg

CASES = json.loads((Path(__file__).parents[1] / "vectors" / "drbg.json").read_text(encoding="utf-8"))["cases"]


class AStream(HmacDrbg):
    """A generator that gives out prepared values, then fails."""

    def __init__(self, *values: int) -> None:
        self.values = list(values)

    def _draw(self) -> bytes:
        return self.values.pop(0).to_bytes(4, "big")


@pytest.mark.requirement(6, 7)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_generator_gives_the_answers_that_nist_published(case):
    drbg = HmacDrbg(bytes.fromhex(case["entropy"]), nonce=bytes.fromhex(case["nonce"]))
    if case["reseed"]:
        drbg.reseed(bytes.fromhex(case["reseed"]))

    drbg.generate(128)
    second = drbg.generate(128)

    assert second.hex().startswith(case["begins"])


@pytest.mark.requirement(7)
def test_a_draw_that_would_favour_small_numbers_is_drawn_again():
    # 2^32 is 1 more than a multiple of 3, so the last value alone would favour 0.
    stream = AStream(2**32 - 1, 2**32 - 1, 2**32 - 2)

    value = stream.uniform(3)

    assert value == 2
    assert stream.values == []


@pytest.mark.requirement(7)
@pytest.mark.parametrize("bound", [1, 2, 2**16, 2**32])
def test_no_draw_is_repeated_where_the_bound_divides_the_range(bound):
    stream = AStream(2**32 - 1)

    value = stream.uniform(bound)

    assert value == bound - 1


@pytest.mark.requirement(6)
def test_a_draw_is_a_request_of_four_bytes_of_the_standard():
    drbg, same = HmacDrbg(bytes(32), personalization=b"one"), HmacDrbg(bytes(32), personalization=b"one")

    for _ in range(50):
        assert drbg._draw() == same.generate(4)
    # And nothing else was changed by it.
    assert drbg.generate(100) == same.generate(100)


def a_reference(entropy: bytes, requests: int) -> list[bytes]:
    """Return requests of four bytes, by the standard's words and Python's own HMAC."""
    key, value, made = bytes(32), b"\x01" * 32, []
    for separator in (b"\x00", b"\x01"):
        key = hmac.digest(key, value + separator + entropy, "sha256")
        value = hmac.digest(key, value, "sha256")
    for _ in range(requests):
        value = hmac.digest(key, value, "sha256")
        made.append(value[:4])
        key = hmac.digest(key, value + b"\x00", "sha256")
        value = hmac.digest(key, value, "sha256")
    return made


@pytest.mark.requirement(6)
@given(entropy=st.binary(min_size=32, max_size=48))
def test_the_stream_is_that_of_a_plain_hmac(entropy):
    drbg = HmacDrbg(entropy)

    assert [drbg._draw() for _ in range(5)] == a_reference(entropy, 5)


# 0.1 % points of chi-square, by the number of values.
LIMITS = {2: 10.83, 3: 13.82, 4: 16.27, 5: 18.47, 6: 20.52}


def spread(counts: Counter[int], bound: int) -> float:
    """Pearson's statistic against equal shares of ``bound`` values."""
    due = sum(counts.values()) / bound
    return sum((counts[value] - due) ** 2 / due for value in range(bound))


@pytest.mark.requirement(7)
@pytest.mark.parametrize(("bound", "limit"), LIMITS.items())
def test_every_number_below_the_bound_is_drawn_equally_often(bound, limit):
    drbg = HmacDrbg(bytes(32))

    counts = Counter(drbg.uniform(bound) for _ in range(60_000))

    assert set(counts) == set(range(bound))
    assert spread(counts, bound) < limit


@pytest.mark.requirement(7)
def test_the_test_of_numbers_notices_a_draw_by_modulo():
    drbg = HmacDrbg(bytes(32))

    # Three bits taken modulo 6: 0 and 1 come twice as often.
    counts = Counter((drbg._draw()[0] >> 5) % 6 for _ in range(12_000))

    assert spread(counts, 6) > LIMITS[6]


def test_another_personalization_gives_another_stream():
    one = HmacDrbg(bytes(32), personalization=b"one").generate(32)
    other = HmacDrbg(bytes(32), personalization=b"other").generate(32)

    assert one != other


@pytest.mark.parametrize("bound", [0, -1, 2**32 + 1])
def test_a_bound_out_of_range_is_refused(bound):
    with pytest.raises(ValueError, match="bound"):
        HmacDrbg(bytes(32)).uniform(bound)


@pytest.mark.requirement(7)
def test_a_short_entropy_is_refused():
    with pytest.raises(ValueError, match="32 bytes"):
        HmacDrbg(bytes(31))


@pytest.mark.parametrize("length", [-1, 2**16 + 1])
def test_a_request_beyond_the_standards_limit_is_refused(length):
    with pytest.raises(ValueError, match="65536"):
        HmacDrbg(bytes(32)).generate(length)


def test_a_generator_used_to_its_limit_must_be_reseeded():
    drbg = HmacDrbg(bytes(32))
    drbg._requests = 2**48 + 1

    with pytest.raises(RuntimeError, match="reseeded"):
        drbg.generate(1)

    drbg.reseed(bytes(32))
    assert len(drbg.generate(1)) == 1
