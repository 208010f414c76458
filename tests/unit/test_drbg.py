"""The generator behind the list: NIST's known answers, and no favoured numbers."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from randomization.domain.drbg import HmacDrbg

CASES = json.loads((Path(__file__).parents[1] / "vectors" / "drbg.json").read_text(encoding="utf-8"))["cases"]


class AStream(HmacDrbg):
    """A generator that gives out prepared values, then fails."""

    def __init__(self, *values: int) -> None:
        self.values = list(values)

    def generate(self, length: int) -> bytes:
        return self.values.pop(0).to_bytes(length, "big")


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


@pytest.mark.requirement(7)
def test_every_number_below_the_bound_is_drawn_equally_often():
    drbg = HmacDrbg(bytes(32))

    counts = Counter(drbg.uniform(6) for _ in range(12_000))

    assert set(counts) == set(range(6))
    # Chi-square, 5 degrees of freedom, 0.1 % point 20.5.
    assert sum((count - 2000) ** 2 / 2000 for count in counts.values()) < 20.5


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
