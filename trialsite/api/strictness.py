"""What REST framework's fields would let pass or bend: unknown fields, wrong JSON types, local times."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from rest_framework import serializers

from trialsite.api.errors import field_error

# RFC 3339 section 5.6; the offset is not optional.
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def mistakes(
    field: serializers.Field[Any, Any, Any, Any] | None, value: Any, pointer: str = "#"
) -> list[dict[str, str]]:
    """Return the field errors of ``value``, which ``field`` is about to read."""
    if value is None:
        return []
    if isinstance(field, serializers.Serializer) and isinstance(value, dict):
        return list(_members(field, value, pointer))
    if isinstance(field, serializers.DictField) and isinstance(value, dict):
        return [
            mistake
            for name, member in value.items()
            for mistake in mistakes(field.child, member, _step(pointer, name))
        ]
    if isinstance(field, serializers.ListSerializer | serializers.ListField) and isinstance(value, list):
        return [
            mistake
            for index, member in enumerate(value)
            for mistake in mistakes(field.child, member, _step(pointer, str(index)))
        ]
    if isinstance(field, serializers.DateTimeField) and isinstance(value, str):
        return [] if is_time(value) else [field_error(pointer, "not_a_time")]
    return [] if _has_right_type(field, value) else [field_error(pointer, "wrong_type")]


def is_time(text: str) -> bool:
    """Return whether ``text`` is written as RFC 3339 writes a moment, with its offset."""
    return bool(_DATE_TIME.fullmatch(text))


def _members(
    serializer: serializers.Serializer[Any], value: dict[str, Any], pointer: str
) -> Iterator[dict[str, str]]:
    writable = {name: field for name, field in serializer.fields.items() if not field.read_only}
    for name, member in value.items():
        if name in writable:
            yield from mistakes(writable[name], member, _step(pointer, name))
        else:
            yield field_error(_step(pointer, name[:64]), "unknown_field")


def _has_right_type(field: serializers.Field[Any, Any, Any, Any] | None, value: Any) -> bool:
    """Return whether the JSON type is the field's; fields of other kinds judge for themselves."""
    match field:
        case serializers.BooleanField():
            return isinstance(value, bool)
        case serializers.IntegerField():
            return isinstance(value, int) and not isinstance(value, bool)
        case serializers.DecimalField():
            return isinstance(value, str | int | Decimal) and not isinstance(value, bool)
        case serializers.DateTimeField():
            return isinstance(value, str) and is_time(value)
        case serializers.DateField():
            return isinstance(value, str) and bool(_DATE.fullmatch(value))
        case serializers.CharField() | serializers.UUIDField():
            return isinstance(value, str)
    return True


def _step(pointer: str, name: str) -> str:
    """Return the pointer one level deeper (RFC 6901 section 4)."""
    return pointer + "/" + name.replace("~", "~0").replace("/", "~1")
