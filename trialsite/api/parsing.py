"""
JSON as RFC 8259 writes it and nothing looser.

Python's reader accepts more than clients on both ends of a proxy agree on: a repeated name (which
one counts?), ``NaN``, a lone surrogate. Each is refused, so that what was checked is what is kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import IO, Any

from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

MOST_BYTES = 256 * 1024
MOST_NESTING = 16


class BodyTooLarge(APIException):
    """No request of this interface needs a body this large."""

    status_code = 413
    default_code = "body_too_large"
    default_detail = f"The body is larger than {MOST_BYTES} bytes."


class StrictJSONParser(BaseParser):
    """Reads one JSON object; numbers with a fraction arrive as ``Decimal``, exactly as written."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,  # noqa: ARG002 - Django REST framework's signature
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        """
        :raises ParseError: if the body is not one strict JSON object.
        :raises BodyTooLarge: if it is longer than MOST_BYTES.
        """
        body = stream.read(MOST_BYTES + 1)
        if len(body) > MOST_BYTES:
            raise BodyTooLarge
        try:
            document = json.loads(
                body.decode("utf-8"),
                object_pairs_hook=_without_repeats,
                parse_constant=_no_constant,
                parse_float=Decimal,
            )
            _check_text(document)
        except (ValueError, ArithmeticError, RecursionError):
            raise ParseError("The body is not one JSON object.") from None
        if not isinstance(document, dict):
            raise ParseError("The body is not one JSON object.")
        return document


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError("a name is repeated")
    return read


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _check_text(value: Any, depth: int = 0) -> None:
    """
    :raises ValueError: if the document is nested too deeply, or holds text that PostgreSQL or
        UTF-8 cannot: the character U+0000, or half of a surrogate pair.
    """
    if depth > MOST_NESTING:
        raise ValueError("nested too deeply")
    if isinstance(value, str):
        # Encoding fails for a lone surrogate with UnicodeEncodeError, a ValueError.
        if b"\0" in value.encode():
            raise ValueError("U+0000")
    elif isinstance(value, dict):
        for name, member in value.items():
            _check_text(name, depth)
            _check_text(member, depth + 1)
    elif isinstance(value, list):
        for member in value:
            _check_text(member, depth + 1)
