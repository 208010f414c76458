"""
What a scanner or a person at a keyboard sends, read as a kit number.

Accepted: the number as printed, or typed with small letters, spaces or hyphens; the GS1 element
string of the label's DataMatrix, with the symbology identifier that a keyboard-wedge scanner sends
before it (``]d2``, ISO/IEC 15424) and GS characters between its fields; and the same content in
brackets, as printed for people. Of GS1 content only the serial number, AI 21, is used: what a label
says of lot and expiry is never believed, the record is.
"""

from __future__ import annotations

import re
from typing import Final

import biip
from biip.gs1_messages import GS1Message

from supply.domain.kit_codes import KitNumberMisread, check, is_kit_number

__all__ = ["LONGEST_SCAN", "KitNumberMisread", "read_kit_scan"]

_SYMBOLOGY_IDENTIFIER: Final = re.compile(r"^\][A-Za-z][0-9A-Za-z]")
_TYPED_BETWEEN: Final = re.compile(r"[\s-]+")
_GROUP_SEPARATOR: Final = "\x1d"
# The longest GS1 element string that a DataMatrix can hold is far shorter.
LONGEST_SCAN: Final = 512


def read_kit_scan(scan: str) -> str:
    """
    Return the kit number that ``scan`` carries, as printed.

    :raises KitNumberMisread: if it carries none; the words do not depend on what was read.
    """
    if len(scan) > LONGEST_SCAN:
        raise KitNumberMisread
    content = _SYMBOLOGY_IDENTIFIER.sub("", scan.strip(" \t\r\n" + _GROUP_SEPARATOR)).lstrip(_GROUP_SEPARATOR)
    typed = _TYPED_BETWEEN.sub("", content).upper()
    if is_kit_number(typed):
        return typed
    return check(_serial_number(content))


def _serial_number(content: str) -> str:
    """
    Return AI 21 of a GS1 element string.

    :raises KitNumberMisread: if there is none, or the content is not GS1.
    """
    parse = GS1Message.parse_hri if content.startswith("(") else GS1Message.parse
    try:
        serial = parse(content).element_strings.get(ai="21")
    except (biip.ParseError, ValueError):
        # "from None": what was read stays out of the trace that a log may keep.
        raise KitNumberMisread from None
    if serial is None:
        raise KitNumberMisread
    return str(serial.value)
