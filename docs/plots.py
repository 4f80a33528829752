"""Draws the plots of the pages as SVG: dots with their spread along a log axis, and lines over log or even axes."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from math import ceil, floor, log10

__all__ = ["COLOURS", "dots", "lines"]

COLOURS = ("#0b6e99", "#d1495b", "#6a8d3f", "#8a5a9e", "#c98a1b", "#555555", "#2a9d8f", "#b56576", "#33658a", "#7f5539")
_FONT = 'font-family="sans-serif" font-size="12"'
_LABELS, _WIDTH, _ROW = 230, 480, 22
"""Pixels: of the names at the left, of the plane, of a row."""
Spread = tuple[float, float, float]
"""Median, least and most."""
Points = Sequence[tuple[float, float]]


def dots(title: str, unit: str, rows: Sequence[tuple[str, Mapping[str, Spread]]]) -> str:
    """Returns a row for each name, with a dot for each kind of figure and a line from its least to its most."""
    kinds = list(dict.fromkeys(kind for _, figures in rows for kind in figures))
    values = [value for _, figures in rows for spread in figures.values() for value in spread]
    x, ticks = _axis(min(values), max(values), _LABELS, _LABELS + _WIDTH)
    top, bottom = 50, 50 + _ROW * len(rows)
    parts = [_text(_LABELS, 18, title, "start", bold=True), *_legend(kinds, 36)]
    parts += [_line(x(t), top, x(t), bottom, "#dddddd") + _text(x(t), bottom + 16, f"{t:,g}") for t in ticks]
    parts.append(_text(_LABELS + _WIDTH / 2, bottom + 34, f"{unit}, log scale"))
    for number, (name, figures) in enumerate(rows):
        y = top + _ROW * (number + 0.5)
        parts.append(_text(_LABELS - 8, y + 4, name, "end"))
        for kind, (median, least, most) in figures.items():
            colour = COLOURS[kinds.index(kind)]
            parts.append(_line(x(least), y, x(most), y, colour) + _dot(x(median), y, colour))
    return _picture(bottom + 44, parts)


def lines(
    title: str, units: tuple[str, str], series: Mapping[str, Points], *, height: int = 360, even: bool = False
) -> str:
    """Returns a line with dots for each series of points.

    Args:
        title: stands above.
        units: of x and of y.
        series: points by name.
        height: of the plane, pixels.
        even: whether the axis of x is even, from 0 on; the others are logarithmic.
    """
    points = [point for line in series.values() for point in line]
    xs = [point[0] for point in points]
    x, across = _even(max(xs), 60, 60 + _WIDTH) if even else _axis(min(xs), max(xs), 60, 60 + _WIDTH)
    y, along = _axis(min(p[1] for p in points), max(p[1] for p in points), 40 + height, 40)
    parts = [_text(60, 18, title, "start", bold=True)]
    parts += [_line(x(t), 40, x(t), 40 + height, "#dddddd") + _text(x(t), 56 + height, f"{t:,g}") for t in across]
    parts += [_line(60, y(t), 60 + _WIDTH, y(t), "#dddddd") + _text(54, y(t) + 4, f"{t:,g}", "end") for t in along]
    parts.append(_text(60 + _WIDTH / 2, 76 + height, units[0] + ", log scale" * (not even)))
    parts.append(_text(60, 34, f"{units[1]}, log scale", "start"))
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts += [_dot(x(a), y(b), colour) for a, b in line]
        row = 52 + 18 * number
        parts.append(_dot(74 + _WIDTH, row, colour) + _text(84 + _WIDTH, row + 4, name, "start"))
    return _picture(height + 88, parts)


def _axis(least: float, most: float, start: float, stop: float) -> tuple[Callable[[float], float], list[float]]:
    """Returns where a value stands on a log axis of whole or half decades, and its marks."""
    steps = [1.0, 2.0, 5.0] if most / least < 3000 else [1.0]
    marks = [step * 10.0**power for power in range(floor(log10(least)) - 1, ceil(log10(most)) + 1) for step in steps]
    low = max((mark for mark in marks if mark <= least), default=marks[0])
    high = min((mark for mark in marks if mark >= most), default=marks[-1])
    scale = (stop - start) / (log10(high / low) or 1.0)
    return lambda value: start + log10(value / low) * scale, [mark for mark in marks if low <= mark <= high]


def _even(most: float, start: float, stop: float) -> tuple[Callable[[float], float], list[float]]:
    """Returns where a value stands on an even axis that begins at 0, and about ten marks."""
    step = next(s * 10.0**p for p in range(-3, 9) for s in (1.0, 2.0, 5.0) if most <= s * 10.0**p * 10)
    marks = [step * number for number in range(ceil(most / step) + 1)]
    return lambda value: start + value / marks[-1] * (stop - start), marks


def _legend(kinds: Sequence[str], y: float) -> list[str]:
    parts, x = [], float(_LABELS)
    for number, kind in enumerate(kinds):
        parts.append(_dot(x + 4, y - 4, COLOURS[number]) + _text(x + 14, y, kind, "start"))
        x += 30 + 7 * len(kind)
    return parts


def _text(x: float, y: float, text: str, anchor: str = "middle", *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' * bold
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'


def _picture(height: float, parts: Sequence[str]) -> str:
    width = _LABELS + _WIDTH + 40
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:.0f}" {_FONT}>\n'
        f'<rect width="{width}" height="{height:.0f}" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )
