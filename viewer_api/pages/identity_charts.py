"""Stacked bar charts as plain SVG shapes: computed here, drawn by the template, no script."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT = 520, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 36, 6, 8, 22
_GRID_LINES = 4
_MOST_LABELS = 6


@dataclass(frozen=True)
class Series:
    """One colour of the bars: its word and a value for each place on the axis."""

    word: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Bar:
    """One rectangle; `colour` counts from 1. `said` is its value in words."""

    x: float
    y: float
    width: float
    height: float
    colour: int
    said: str


@dataclass(frozen=True)
class Tick:
    """One mark of an axis, at `at`."""

    at: float
    word: str


@dataclass(frozen=True)
class Bars:
    """A chart ready to be drawn inside WIDTH × HEIGHT."""

    bars: tuple[Bar, ...]
    rows: tuple[Tick, ...]
    columns: tuple[Tick, ...]
    words: tuple[str, ...]
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    base: int = HEIGHT - _BOTTOM
    width: int = WIDTH
    height: int = HEIGHT


def bars(labels: Sequence[str], series: Sequence[Series]) -> Bars:
    """Return the chart of `series`, stacked, over `labels`."""
    top = _round_up(max((sum(one) for one in zip(*_values(series), strict=True)), default=0.0))
    slot = (WIDTH - _LEFT - _RIGHT) / max(1, len(labels))
    return Bars(
        bars=tuple(
            bar
            for place, label in enumerate(labels)
            for bar in _stack(place, label, (slot, top), series)
        ),
        rows=tuple(
            Tick(_height_of(top * line / _GRID_LINES, top), f"{top * line / _GRID_LINES:g}")
            for line in range(_GRID_LINES + 1)
        ),
        columns=tuple(
            Tick(_LEFT + slot * (place + 0.5), label)
            for place, label in enumerate(labels)
            if place % max(1, -(-len(labels) // _MOST_LABELS)) == 0
        ),
        words=tuple(one.word for one in series),
    )


def _values(series: Sequence[Series]) -> list[tuple[float, ...]]:
    return [one.values for one in series]


def _stack(
    place: int, label: str, scale: tuple[float, float], series: Sequence[Series]
) -> list[Bar]:
    slot, top = scale
    found, below = [], 0.0
    for colour, one in enumerate(series, start=1):
        value = one.values[place]
        if value <= 0:
            continue
        y, foot = _height_of(below + value, top), _height_of(below, top)
        said = (
            f"{label} · {one.word}: {value:g}"
            if value == int(value)
            else (f"{label} · {one.word}: {value:.1f}")
        )
        width = round(max(1.5, slot * 0.78), 2)
        x = round(_LEFT + slot * place + (slot - width) / 2, 2)
        found.append(Bar(x, y, width, round(max(1.0, foot - y), 2), colour, said))
        below += value
    return found


def _height_of(value: float, top: float) -> float:
    return round(_TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - value / top), 2)


def _round_up(value: float) -> float:
    """The next number whose quarters are easy to read."""
    step = 4.0
    while step < value:
        for factor in (1, 2, 5):
            if step * factor >= value:
                return step * factor
        step *= 10
    return step
