"""
Strict JSON: reads the canonical bytes of RFC 8785 and refuses every other spelling.

Writing goes through the ``rfc8785`` package, in ``trialsite.audit.canonical``. Reading does not: this
module holds a second, independent encoder on the standard library alone, so that the verifier needs
no package for it, and a fault in one of the two shows as an event that does not survive the round trip.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

# The largest integer that a double holds exactly, and so the largest RFC 8785 lets stand as one.
_LARGEST_INTEGER: Final = 2**53 - 1

_ESCAPES: Final = {
    **{chr(code): f"\\u{code:04x}" for code in range(0x20)},
    "\b": "\\b",
    "\t": "\\t",
    "\n": "\\n",
    "\f": "\\f",
    "\r": "\\r",
    '"': '\\"',
    "\\": "\\\\",
}
_ESCAPE_TABLE: Final = str.maketrans(_ESCAPES)


class NotCanonical(ValueError):
    """The bytes are not the canonical JSON of anything."""


def parse(content: bytes) -> Any:
    """
    Return the value whose canonical JSON is exactly ``content``.

    :raises NotCanonical: if there is none: not JSON, not UTF-8, NaN, a key that comes twice, spaces,
        another order of keys, another spelling of a number or string.
    """
    try:
        value = loads(content)
        same = "".join(_encode(value)).encode() == content
    except (ValueError, RecursionError):
        same = False
    if not same:
        raise NotCanonical("not canonical JSON")
    return value


def loads(content: bytes) -> Any:
    """
    Read JSON strictly, in whatever spelling.

    :raises ValueError: if it is not UTF-8 JSON, or has NaN, infinity or a key that comes twice.
    """
    return json.loads(
        content.decode("utf-8"),
        object_pairs_hook=_unique,
        parse_constant=_no_constant,
        parse_int=_integer,
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise NotCanonical("a key comes twice")
    return value


def _no_constant(name: str) -> NoReturn:
    raise NotCanonical(f"{name} is not JSON")


def _integer(digits: str) -> int | float:
    """Read as ECMAScript does: past 2**53 the nearest double, whose spelling then decides."""
    return int(digits) if len(digits) <= 17 and abs(int(digits)) <= _LARGEST_INTEGER else float(digits)


def _encode(value: Any) -> list[str]:
    """Return the pieces of the canonical text of what ``loads`` returned."""
    if isinstance(value, dict):
        # RFC 8785 sorts by UTF-16 code units, which is not the order of code points.
        members = sorted(value.items(), key=lambda member: member[0].encode("utf-16-be"))
        parts = [[_string(key), ":", *_encode(item)] for key, item in members]
        return ["{", *_joined(parts), "}"]
    if isinstance(value, list):
        return ["[", *_joined([_encode(item) for item in value]), "]"]
    return [_scalar(value)]


def _joined(parts: list[list[str]]) -> list[str]:
    return [piece for i, part in enumerate(parts) for piece in ([","] if i else []) + part]


def _scalar(value: str | float | None) -> str:
    if isinstance(value, str):
        return _string(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else _double(value)


def _string(text: str) -> str:
    return f'"{text.translate(_ESCAPE_TABLE)}"'


def _double(number: float) -> str:
    """
    Write a double as ECMAScript's Number::toString does (ECMA-262, 6.1.6.1.20).

    Python's ``repr`` finds the same shortest digits and differs only in how it lays them out.
    """
    if not math.isfinite(number):
        raise NotCanonical("not a finite number")
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    mantissa, _, exponent = repr(abs(number)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = fraction.rstrip("0") if fraction != "0" else ""
    digits = (whole + fraction).lstrip("0")
    # The value is 0.digits times ten to the power of `point`.
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    return sign + _layout(digits, point)


def _layout(digits: str, point: int) -> str:
    if len(digits) <= point <= 21:
        return digits.ljust(point, "0")
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return "0." + "0" * -point + digits
    mantissa = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
    return f"{mantissa}e{point - 1:+d}"
