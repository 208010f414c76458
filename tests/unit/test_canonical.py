"""Canonical JSON: the published answers, by both encoders, and nothing that has two spellings."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialsite.audit.canonical import NotCanonical, canonical, loads, parse

CASES = json.loads((Path(__file__).parents[1] / "vectors" / "jcs.json").read_text(encoding="utf-8"))

RFC_8785_INPUT = (
    r'{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],'
    r'"string":"\u20ac$\u000F\u000aA' + "'" + r'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}'
)
RFC_8785_BYTES = bytes.fromhex(
    "7b226c69746572616c73223a5b6e756c6c2c747275652c66616c73655d2c226e756d62657273223a5b333333333333333333"
    "2e333333333333332c31652b33302c342e352c302e3030322c31652d32375d2c22737472696e67223a22e282ac245c753030"
    "30665c6e4127425c225c5c5c5c5c222f227d"
)

# No integer beyond 2**53: RFC 8785 writes doubles, and the package refuses what one cannot hold.
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
) | st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


def test_the_example_of_rfc_8785_has_its_published_bytes():
    assert canonical(json.loads(RFC_8785_INPUT)) == RFC_8785_BYTES
    assert canonical(parse(RFC_8785_BYTES)) == RFC_8785_BYTES


@pytest.mark.parametrize("case", CASES["texts"], ids=lambda case: case["name"])
def test_a_published_text_has_its_canonical_form_and_only_that_one_is_read(case):
    expected = case["canonical"].encode()

    assert canonical(json.loads(case["input"])) == expected
    assert canonical(parse(expected)) == expected
    if case["input"] != case["canonical"]:
        with pytest.raises(NotCanonical):
            parse(case["input"].encode())


@pytest.mark.parametrize("case", CASES["numbers"], ids=lambda case: case["text"])
def test_a_published_double_has_its_spelling_in_both_encoders(case):
    (number,) = struct.unpack(">d", bytes.fromhex(case["ieee754"]))
    text = case["text"].encode()

    assert canonical(number) == text
    assert parse(text) == number


@given(VALUES)
def test_what_one_encoder_writes_the_other_reads_back(value):
    content = canonical(value)

    assert canonical(parse(content)) == content


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_two_encoders_agree_on_every_double(number):
    assert parse(canonical(number)) == number


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" ",
        b"{",
        b"nul",
        b"{} ",
        b" {}",
        b"{}\n",
        b"\xef\xbb\xbf{}",
        b'{"a": 1}',
        b'{"b":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":2}}',
        b"[1,]",
        b"[NaN]",
        b"[Infinity]",
        b"[-Infinity]",
        b"[1e400]",
        b"[1.0]",
        b"[-0]",
        b"[0.0]",
        b"[01]",
        b"[+1]",
        b"[1E2]",
        b"[1e2]",
        b"[1e+2]",
        b"[9007199254740993]",
        b"[" + b"9" * 5000 + b"]",
        b"'a'",
        b'"\\u0041"',
        b'"\\/"',
        b'"\\u000A"',
        b'"\\u000a"',
        b'"\\u001F"',
        b'"\x01"',
        b'"\x7f\xff"',
        b'"\xed\xa0\x80"',
        b'"\\ud800"',
        b'{"\\ud800":1}',
        b'"\\ud83d\\ude00"',
        # Sorted by code point, where RFC 8785 sorts by UTF-16 code unit.
        '{"\ufb33":1,"\U0001f600":2}'.encode(),
        b"[" * 100_000 + b"]" * 100_000,
    ],
)
def test_bytes_with_another_spelling_or_meaning_are_refused(content):
    with pytest.raises(NotCanonical):
        parse(content)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 2**53, -(2**53), {1: 2}, b"bytes", "\ud800", {"a": {"b": object()}}]
)
def test_what_json_cannot_hold_is_not_written(value):
    with pytest.raises(ValueError):
        canonical(value)


def test_a_loose_reader_still_refuses_a_key_that_comes_twice():
    assert loads(b' {"seq": 0, "body": ""}\n') == {"seq": 0, "body": ""}
    with pytest.raises(ValueError, match="twice"):
        loads(b'{"seq": 0, "seq": 1}')
