"""Line charts as SVG, written by hand: no package is worth two pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import attrs

__all__ = ["Point", "line_chart"]

Point = tuple[float, float]

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 52, 50
FONT = 'font-family="sans-serif"'
COLOURS = ("#1f4e9c", "#d1495b", "#2a9d8f", "#8a5cb8", "#e08e0b", "#4d4d4d", "#8c6d46", "#3aa6dd", "#a0a000", "#6b8e23")


@attrs.frozen
class _Scale:
    x_least: float
    x_most: float
    y_most: float

    def place(self, point: Point) -> tuple[float, float]:
        across = (point[0] - self.x_least) / ((self.x_most - self.x_least) or 1)
        up = point[1] / (self.y_most or 1)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)


def line_chart(
    title: str,
    lines: Mapping[str, Sequence[Point]],
    *,
    x_label: str,
    y_label: str,
    x_ticks: Mapping[float, str] | None = None,
    dashed: frozenset[str] = frozenset(),
    dots: bool = True,
) -> str:
    """Draws lines over one pair of axes; the upright one begins at 0.

    Args:
        title: Above the picture.
        lines: Points of each line, by its name.
        x_label: Below the lying axis.
        y_label: Beside the upright one.
        x_ticks: Places and words of the ticks below; round numbers by default.
        dashed: The lines to draw dashed.
        dots: Whether each point is marked.

    Returns:
        The SVG document.
    """
    points = [point for line in lines.values() for point in line]
    y_step = _step(max(y for _, y in points))
    scale = _Scale(
        min(x for x, _ in points),
        max(x for x, _ in points),
        math.ceil(max(y for _, y in points) / y_step) * y_step,
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-size="12" {FONT}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="15">{escape(title)}</text>',
        *_y_axis(scale, y_step, y_label),
        *_x_axis(scale, x_ticks or _round_ticks(scale), x_label),
    ]
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        parts += _line(scale, line, colour, dash=name in dashed, dots=dots and name not in dashed)
        parts += _legend(number, name, colour, dash=name in dashed)
    return "\n".join([*parts, "</svg>", ""])


def _line(scale: _Scale, line: Sequence[Point], colour: str, *, dash: bool, dots: bool) -> list[str]:
    places = [scale.place(point) for point in line]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    style = ' stroke-dasharray="6 4"' if dash else ""
    drawn = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{style}/>']
    if dots:
        drawn += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
    return drawn


def _legend(number: int, name: str, colour: str, *, dash: bool) -> list[str]:
    x, y = WIDTH - RIGHT + 14, TOP + 10 + 20 * number
    style = ' stroke-dasharray="6 4"' if dash else ""
    return [
        f'<line x1="{x}" y1="{y}" x2="{x + 20}" y2="{y}" stroke="{colour}" stroke-width="2"{style}/>',
        f'<text x="{x + 26}" y="{y + 4}">{escape(name)}</text>',
    ]


def _y_axis(scale: _Scale, step: float, label: str) -> list[str]:
    drawn = [f'<text x="{LEFT}" y="{TOP - 10}" fill="#555">{escape(label)}</text>']
    for number in range(round(scale.y_most / step) + 1):
        value = number * step
        _, y = scale.place((scale.x_least, value))
        drawn.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>')
        drawn.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#555">{value:,.0f}</text>')
    return drawn


def _x_axis(scale: _Scale, ticks: Mapping[float, str], label: str) -> list[str]:
    bottom = HEIGHT - BOTTOM
    drawn = [f'<line x1="{LEFT}" y1="{bottom}" x2="{WIDTH - RIGHT}" y2="{bottom}" stroke="#555"/>']
    for value, word in ticks.items():
        x, _ = scale.place((value, 0))
        drawn.append(f'<line x1="{x:.1f}" y1="{bottom}" x2="{x:.1f}" y2="{bottom + 5}" stroke="#555"/>')
        drawn.append(f'<text x="{x:.1f}" y="{bottom + 19}" text-anchor="middle" fill="#555">{escape(word)}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    drawn.append(f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle" fill="#555">{escape(label)}</text>')
    return drawn


def _round_ticks(scale: _Scale) -> dict[float, str]:
    step = _step(scale.x_most - scale.x_least)
    first = math.ceil(scale.x_least / step)
    return {number * step: f"{number * step:,.0f}" for number in range(first, math.floor(scale.x_most / step) + 1)}


def _step(span: float) -> float:
    """A round step that divides the span into four to ten."""
    rough = max(span, 1e-9) / 8
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
