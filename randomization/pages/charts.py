"""
Drawings as inline SVG: lines, bars and a scatter, on axes with round numbers.

Made by hand because a page must print, be read aloud (``title`` and ``desc``), and hold no script.
Lines differ by dash and bars by shade as well as by color, for a printer without color.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import count
from typing import Final

WIDTH: Final = 640
HEIGHT: Final = 300
LEFT, RIGHT, TOP, BOTTOM = 58, 16, 30, 46
COLORS: Final = ("#1f4e79", "#b3541e", "#3f7d3a", "#6b4c9a")
DASHES: Final = ("none", "6 3", "2 3", "9 3 2 3")
Point = tuple[float, float]


@dataclass(frozen=True)
class Words:
    """What a drawing is called, what it shows in one sentence, and the names of its axes."""

    title: str
    description: str
    across: str
    up: str


@dataclass(frozen=True)
class Scale:
    """From values to pixels along one axis; ``ticks`` are the round values that are marked."""

    ticks: tuple[float, ...]
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def lines(words: Words, series: Sequence[tuple[str, Sequence[Point]]], *, names: str) -> str:
    """Return lines, each with its name in the legend; ``names`` begins the drawing's identifiers."""
    points = [point for _, each in series for point in each]
    across, up = _scales([x for x, _ in points], [0.0, *(y for _, y in points)])
    drawn = []
    for (name, each), color, dash in zip(series, COLORS, DASHES, strict=False):
        path = " ".join(f"{across(x)},{up(y)}" for x, y in each)
        drawn.append(
            f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"'
            f' stroke-dasharray="{dash}"><title>{escape(name)}</title></polyline>'
        )
    legend = [
        f'<line x1="{x}" x2="{x + 30}" y1="14" y2="14" stroke="{color}" stroke-width="2"'
        f' stroke-dasharray="{dash}"/>{_text(x + 36, 18, name)}'
        for (name, _), color, dash, x in zip(series, COLORS, DASHES, count(LEFT, 190), strict=False)
    ]
    return _svg(words, names, [*_axes(words, across, up), *drawn, *legend])


def bars(words: Words, chances: Sequence[tuple[str, float]], *, names: str, marked: str = "") -> str:
    """Return a bar for each label; the one of the label ``marked`` is dark."""
    room = (WIDTH - LEFT - RIGHT) / max(len(chances), 1)
    up = _scale([0.0, *(value for _, value in chances)], HEIGHT - BOTTOM, TOP)
    every = math.ceil(len(chances) / 24)
    drawn = []
    for place, (label, value) in enumerate(chances):
        x, top = round(LEFT + (place + 0.15) * room, 1), up(value)
        width, height = round(0.7 * room, 1), round(HEIGHT - BOTTOM - top, 1)
        color = COLORS[0] if label == marked else "#9db8d2"
        drawn.append(
            f'<rect x="{x}" y="{top}" width="{width}" height="{height}" fill="{color}">'
            f"<title>{escape(label)}: {value:.4f}</title></rect>"
        )
        if place % every == 0:
            drawn.append(_text(x + 0.35 * room, HEIGHT - BOTTOM + 16, label, "middle"))
    return _svg(words, names, [*_up_axis(words, up), *drawn, _across_name(words)])


def scatter(words: Words, points: Sequence[tuple[str, float, float]], *, names: str, marked: str) -> str:
    """Return numbered points; the numbers are those of the points' order, for a table beside it."""
    across = _scale([x for _, x, _ in points], LEFT, WIDTH - RIGHT)
    up = _scale([y for _, _, y in points], HEIGHT - BOTTOM, TOP)
    drawn = []
    for number, (name, x, y) in enumerate(points, 1):
        color = COLORS[1] if name == marked else COLORS[0]
        drawn.append(
            f'<circle cx="{across(x)}" cy="{up(y)}" r="4" fill="{color}">'
            f"<title>{escape(name)}</title></circle>" + _text(across(x) + 7, up(y) + 4, str(number))
        )
    return _svg(words, names, [*_axes(words, across, up), *drawn])


def _scales(xs: Sequence[float], ys: Sequence[float]) -> tuple[Scale, Scale]:
    return _scale(xs, LEFT, WIDTH - RIGHT), _scale(ys, HEIGHT - BOTTOM, TOP)


def _scale(values: Sequence[float], start: float, end: float) -> Scale:
    """Return a scale over round numbers that holds every value."""
    low, high = min(values), max(values)
    if high - low < 1e-9:  # one value, but for its rounding
        low, high = low - 0.5, high + 0.5
    step = _round_step((high - low) / 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(round(each * step, 10) for each in range(first, last + 1))
    return Scale(ticks, ticks[0], ticks[-1], start, end)


def _round_step(rough: float) -> float:
    """Return the next of 1, 2, 5, 10 … and their tenths."""
    power: float = 10 ** math.floor(math.log10(rough))
    return next(each * power for each in (1, 2, 5, 10) if each * power >= rough * (1 - 1e-9))


def _axes(words: Words, across: Scale, up: Scale) -> list[str]:
    marks = [_text(across(tick), HEIGHT - BOTTOM + 16, f"{tick:g}", "middle") for tick in across.ticks]
    return [*_up_axis(words, up), *marks, _across_name(words)]


def _up_axis(words: Words, up: Scale) -> list[str]:
    middle = round((TOP + HEIGHT - BOTTOM) / 2, 1)
    name = (
        f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">'
        f"{escape(words.up)}</text>"
    )
    rules = [
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(tick)}" y2="{up(tick)}" stroke="#d8d8d8"/>'
        + _text(LEFT - 6, up(tick) + 4, f"{tick:g}", "end")
        for tick in up.ticks
    ]
    return [name, *rules]


def _across_name(words: Words) -> str:
    return _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, words.across, "middle")


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{round(x, 1)}" y="{round(y, 1)}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(words: Words, names: str, parts: Sequence[str]) -> str:
    title, description = f"{names}-title", f"{names}-desc"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{title} {description}">'
        f'<title id="{title}">{escape(words.title)}</title>'
        f'<desc id="{description}">{escape(words.description)}</desc>{"".join(parts)}</svg>'
    )
