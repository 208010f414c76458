"""
A row by its key, and a few rows written: what every hot request does, at a fifth of a queryset's cost.

A queryset is made, compiled and thrown away with each call; for one row that is most of the work.
Here the statement is made once, from the model, so a field that is new is in it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

from django.db import connection
from django.db.models import Field, JSONField, Model

Row = TypeVar("Row", bound=Model)


def one(model: type[Row], key: uuid.UUID | str, *, held: bool = False) -> Row:
    """
    Return the row of that primary key, as ``objects.get(pk=key)`` does.

    :param held: to the end of the transaction (``FOR UPDATE``).
    :raises django.core.exceptions.ObjectDoesNotExist: the model's own, if there is none.
    """
    table = _table(model)
    with connection.cursor() as cursor:
        cursor.execute(table.select + " FOR UPDATE" * held, [key])
        found = cursor.fetchone()
    if found is None:
        raise model.DoesNotExist  # type: ignore[attr-defined]  # every model has its own
    values = list(found)
    for place, convert in table.converters:
        values[place] = convert(values[place], None, connection)
    return model.from_db(connection.alias, table.names, values)


def insert(rows: Sequence[Row]) -> None:
    """
    Write new rows of one model, sent together.

    As ``bulk_create`` does, for a model whose key is no sequence's and whose values are of the types
    that its fields have. What the database itself fills in (``db_default``) is read when it is asked for.
    """
    table = _table(type(rows[0]))
    with connection.cursor() as cursor:
        cursor.executemany(table.insert, [[_written(row, field) for field in table.given] for row in rows])
    for row in rows:
        row._state.adding, row._state.db = False, connection.alias
        for name in table.filled:
            vars(row).pop(name)


class _Table:
    """The statements of one model's table."""

    def __init__(self, model: type[Model]) -> None:
        fields: list[Field[Any, Any]] = list(model._meta.concrete_fields)
        self.names = [field.attname for field in fields]
        self.given = [field for field in fields if not field.has_db_default()]
        self.filled = [field.attname for field in fields if field.has_db_default()]
        # What the driver hands over in another form than the field has, such as JSON.
        self.converters: list[tuple[int, Callable[..., Any]]] = [
            (place, convert)
            for place, field in enumerate(fields)
            for convert in field.get_db_converters(connection)
        ]
        name, key = f'"{model._meta.db_table}"', model._meta.pk
        marks = ", ".join(["%s"] * len(self.given))
        self.select = f"SELECT {_columns(fields)} FROM {name} WHERE {_columns([key])} = %s"  # noqa: S608
        self.insert = f"INSERT INTO {name} ({_columns(self.given)}) VALUES ({marks})"  # noqa: S608


@cache
def _table(model: type[Model]) -> _Table:
    return _Table(model)


def _written(row: Model, field: Field[Any, Any]) -> Any:
    """Return what the driver is given: the value itself, which it knows how to send, unless it is JSON."""
    value = getattr(row, field.attname)
    return field.get_db_prep_save(value, connection) if isinstance(field, JSONField) else value


def _columns(fields: Sequence[Field[Any, Any]]) -> str:
    return ", ".join(f'"{field.column}"' for field in fields)
