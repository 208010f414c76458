"""How the admin writes values: times in the site's zone, JSON as lines."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from operator import attrgetter
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.admin import display
from django.db import models
from django.utils import timezone

Shown = Callable[[Any], str]


def moment(value: dt.datetime | None, *, zone: dt.tzinfo | None = None) -> str:
    """Return a time to the second with its offset, in ``zone`` or else in the page's zone."""
    if value is None:
        return ""
    return timezone.localtime(value, zone).isoformat(sep=" ", timespec="seconds")


def zone_of(record: models.Model, *, site_path: str) -> ZoneInfo | None:
    """Return the zone of the site that ``site_path`` (dotted attributes) leads to; None for no path."""
    if not site_path:
        return None
    return ZoneInfo(attrgetter(site_path)(record).time_zone)


def lines(value: Any) -> str:
    """Return a JSON value as lines of text: one for each member, nested ones as JSON."""
    if isinstance(value, dict):
        return "\n".join(f"{name}: {_plain(member)}" for name, member in sorted(value.items()))
    if isinstance(value, list):
        return "\n".join(_plain(member) for member in value)
    return _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(member)}" for name, member in value.items())
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def shown(field: models.Field[Any, Any], *, site_path: str) -> Shown | None:
    """Return how a column or line of ``field`` is written, or None where Django's own way is right."""
    if isinstance(field, models.DateTimeField):

        @display(description=str(field.verbose_name), ordering=field.name, empty_value="-")
        def time_at_site(record: models.Model) -> str:
            return moment(getattr(record, field.name), zone=zone_of(record, site_path=site_path))

        time_at_site.__name__ = field.name
        return time_at_site
    if isinstance(field, models.JSONField):

        @display(description=str(field.verbose_name), empty_value="-")
        def as_lines(record: models.Model) -> str:
            return lines(getattr(record, field.name))

        as_lines.__name__ = field.name
        return as_lines
    return None


def parsed(text: str | None) -> dt.datetime | None:
    """Return the time that an event of the trail says, RFC 3339; None where it says none."""
    try:
        return dt.datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def indented(value: Any) -> str:
    """Return a JSON value over many lines, as a person reads it."""
    return json.dumps(value, ensure_ascii=False, indent=2)
