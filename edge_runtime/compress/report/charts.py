"""Charts as SVG text: no script, no file beside the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from edge_runtime.compress.report.record import Bin, Damage, Map

BEFORE, AFTER = "#8a94a6", "#1f6feb"
_WIDTH, _HEIGHT, _EDGE = 320, 240, 34


def reliability_chart(before: Sequence[Bin], after: Sequence[Bin]) -> str:
    """Draw accuracy over confidence; on the diagonal probabilities mean what they say.

    Parameters
    ----------
    before, after : sequence of Bin
        Of both models; empty ones are left out.

    Returns
    -------
    svg : str
        320 x 240.
    """
    inner_x, inner_y = _WIDTH - 2 * _EDGE, _HEIGHT - 2 * _EDGE

    def place(x: float, y: float) -> str:
        return f"{_EDGE + x * inner_x:.1f},{_HEIGHT - _EDGE - y * inner_y:.1f}"

    parts = [
        f'<rect x="{_EDGE}" y="{_EDGE}" width="{inner_x}" height="{inner_y}" class="frame"/>',
        f'<polyline points="{place(0, 0)} {place(1, 1)}" class="guide"/>',
    ]
    for bins, colour in ((before, BEFORE), (after, AFTER)):
        shown = [each for each in bins if each.n]
        most = max((each.n for each in shown), default=1)
        points = " ".join(place(each.confidence, each.accuracy) for each in shown)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for each in shown:
            x, y = place(each.confidence, each.accuracy).split(",")
            radius = 2 + 4 * math.sqrt(each.n / most)
            parts.append(
                f'<circle cx="{x}" cy="{y}" r="{radius:.1f}" fill="{colour}">'
                f"<title>{each.n} samples, confidence {each.confidence:.3f}, accuracy {each.accuracy:.3f}</title>"
                "</circle>"
            )
    parts += [
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 8}" text-anchor="middle">confidence</text>',
        f'<text x="12" y="{_HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 12 {_HEIGHT / 2})">accuracy</text>',
        f'<text x="{_EDGE}" y="{_HEIGHT - _EDGE + 14}">0</text>',
        f'<text x="{_WIDTH - _EDGE}" y="{_HEIGHT - _EDGE + 14}" text-anchor="end">1</text>',
    ]
    return _svg(_WIDTH, _HEIGHT, "Accuracy over confidence", parts)


def damage_chart(damage: Sequence[Damage]) -> str:
    """Draw the metric of both models for each kind of damage, with the intervals.

    Parameters
    ----------
    damage : sequence of Damage
        The undamaged samples first.

    Returns
    -------
    svg : str
        One pair of bars per damage.
    """
    tops = [each.high if each.high is not None else each.value for pair in damage for each in (pair.before, pair.after)]
    top = max([*tops, 1e-12])
    step, height = 86, 200
    width = _EDGE + step * len(damage) + 10
    parts = []
    for index, each in enumerate(damage):
        for offset, found, colour in ((12, each.before, BEFORE), (40, each.after, AFTER)):
            x, bar = _EDGE + index * step + offset, height * found.value / top
            title = f"{found.value:.4f}"
            parts.append(
                f'<rect x="{x}" y="{20 + height - bar:.1f}" width="24" height="{bar:.1f}" fill="{colour}">'
                f"<title>{title}</title></rect>"
            )
            if found.low is not None and found.high is not None:
                low, high = (20 + height * (1 - bound / top) for bound in (found.low, found.high))
                parts.append(f'<path d="M{x + 12} {low:.1f}V{high:.1f}" class="whisker"/>')
            parts.append(f'<text x="{x + 12}" y="14" text-anchor="middle" class="small">{found.value:.3g}</text>')
        name = "undamaged" if each.kind == "none" else f"{each.kind} {each.strength:g}"
        parts.append(
            f'<text x="{_EDGE + index * step + 38}" y="{height + 36}" text-anchor="middle">{escape(name)}</text>'
        )
    parts.append(f'<path d="M{_EDGE} {20 + height}H{width - 10}" class="axis"/>')
    return _svg(width, height + 46, "Metric of float and int8 on damaged samples", parts)


def map_chart(maps: Map) -> str:
    """Draw both attribution maps of one sample side by side: blue speaks for the output, orange against it."""
    cell = 12
    parts = []
    for offset, rows in ((0, maps.before), (len(maps.before[0]) + 1, maps.after)):
        largest = max((abs(value) for row in rows for value in row), default=0.0) or 1.0
        for y, row in enumerate(rows):
            for x, value in enumerate(row):
                colour = "31,111,235" if value > 0 else "219,109,40"
                parts.append(
                    f'<rect x="{(x + offset) * cell}" y="{y * cell}" width="{cell}" height="{cell}"'
                    f' fill="rgba({colour},{abs(value) / largest:.2f})" class="cell"/>'
                )
    width = (2 * len(maps.before[0]) + 1) * cell
    return _svg(width, len(maps.before) * cell, "Attribution maps of float and int8", parts)


def curves_chart(curves: Sequence[Sequence[float]]) -> str:
    """Draw the channels of a window over each other, each over its own range."""
    colours = (AFTER, "#db6d28", "#2da44e", "#8250df")
    parts = []
    for curve, colour in zip(curves, colours, strict=False):
        points = " ".join(
            f"{2 + 92 * index / max(1, len(curve) - 1):.1f},{62 - 60 * value:.1f}" for index, value in enumerate(curve)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.2"/>')
    return _svg(96, 64, "First channels of the window", parts)


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    body = "".join(parts)
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img"'
        f' aria-label="{escape(title)}">{body}</svg>'
    )
