"""
Frozen records out of plain documents, refused with the place and the reason.

The dataclasses are the schema: a key that no field names is unknown, a field without a default
that no key names is missing, and each value must have the field's type. Nothing is converted
silently: a number is not a text, a float is nothing at all (decimals are written as texts, since
0.1 has no exact binary form), and a record that comes back from ``plain`` equals the one that went in.

Pure: no Django, no files, no clock.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
import types
import typing
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,9})?")
CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
# Integers beyond 2^53 have no place in RFC 8785 JSON.
LARGEST_INTEGER = 2**53 - 1


class ProtocolError(ValueError):
    """
    A trial file is wrong: ``place`` is the dotted key, ``reason`` says what is wrong there.

    For the person who writes the file; it never reaches site staff.
    """

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason


def read(kind: Any, value: object, place: str = "") -> Any:
    """
    Return ``value`` as ``kind``: a dataclass, a tuple, a mapping, an optional or a scalar.

    :raises ProtocolError: if it is not one.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else read(arguments[0], value, place)
    if origin is tuple:
        return _read_sequence(arguments[0], value, place)
    if origin is Mapping:
        return _read_mapping(arguments[1], value, place)
    if dataclasses.is_dataclass(kind):
        return _read_record(kind, value, place)
    return _SCALARS[kind](value, place)


def plain(value: object) -> Any:
    """Return records as what JSON can say: decimals and times become texts, tuples become lists."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dt.time):
        return value.strftime("%H:%M")
    return value


def _read_record(kind: Any, value: object, place: str) -> Any:
    table = _a_table(value, place)
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key in table:
        if key not in fields:
            raise ProtocolError(_below(place, key), "is not a key of a trial file")
    for name, field in fields.items():
        if name not in table and field.default is field.default_factory is dataclasses.MISSING:
            raise ProtocolError(_below(place, name), "is missing")
    return kind(**{key: read(hints[key], item, _below(place, key)) for key, item in table.items()})


def _read_mapping(kind: Any, value: object, place: str) -> Mapping[str, Any]:
    table = _a_table(value, place)
    return types.MappingProxyType({key: read(kind, item, _below(place, key)) for key, item in table.items()})


def _read_sequence(kind: Any, value: object, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ProtocolError(place, "must be a list")
    items = tuple(read(kind, item, f"{place}[{index}]") for index, item in enumerate(value))
    if dataclasses.is_dataclass(kind):
        _refuse_repeated_codes(items, place)
    return items


def _refuse_repeated_codes(records: tuple[Any, ...], place: str) -> None:
    seen: set[str] = set()
    for index, record in enumerate(records):
        code = getattr(record, "code", None)
        if code in seen:
            raise ProtocolError(f"{place}[{index}].code", f"{code!r} is there twice")
        if code is not None:
            seen.add(code)


def _a_table(value: object, place: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise ProtocolError(place or "(file)", "must be a table")
    return value


def _below(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def _text(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise ProtocolError(place, "must be a text")
    if not value.strip():
        raise ProtocolError(place, "must not be empty")
    return value


def _integer(value: object, place: str) -> int:
    # bool is a subclass of int, and true is not one day.
    if not isinstance(value, int) or isinstance(value, bool):
        raise ProtocolError(place, "must be a whole number")
    if abs(value) > LARGEST_INTEGER:
        raise ProtocolError(place, "is too large")
    return value


def _boolean(value: object, place: str) -> bool:
    if not isinstance(value, bool):
        raise ProtocolError(place, "must be true or false")
    return value


def _decimal(value: object, place: str) -> Decimal:
    if not isinstance(value, str) or not DECIMAL.fullmatch(value):
        raise ProtocolError(place, 'must be a decimal written as a text, such as "0.5"')
    return Decimal(value)


def _time(value: object, place: str) -> dt.time:
    if not isinstance(value, str) or not CLOCK.fullmatch(value):
        raise ProtocolError(place, 'must be a time of day written as a text, such as "10:00"')
    return dt.time.fromisoformat(value)


_SCALARS: dict[Any, Callable[[object, str], Any]] = {
    str: _text,
    int: _integer,
    bool: _boolean,
    Decimal: _decimal,
    dt.time: _time,
}
