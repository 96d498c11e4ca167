"""A picture of workload A: CPU per recipient in multiples of REF, on a logarithmic axis, as SVG."""

import math
from html import escape

from benchmarks.case import Measured

__all__ = ["chart"]

_LEFT, _RIGHT, _TOP = 310, 90, 56  # space for names, figures and the title
_WIDTH = 920
_BAR, _STEP = 18, 26
_OURS, _OTHERS = "#0b7285", "#adb5bd"
_STYLE = "text{font:13px system-ui,sans-serif;fill:#343a40}.small{font-size:11px;fill:#868e96}.title{font-size:16px}"


def chart(found: dict[str, Measured]) -> str:
    """Return the picture of what each contender took, the least first."""
    bars = sorted((measured.figures["times_ref"], name) for name, measured in found.items() if measured.figures)
    decades = max(1, math.ceil(math.log10(max(times for times, _ in bars)))) if bars else 1
    bottom = _TOP + _STEP * len(bars)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {bottom + 30}" role="img">',
        f'<style>{_STYLE}</style><rect width="100%" height="100%" fill="#fff"/>',
        '<text class="title" x="16" y="26">CPU per recipient, in multiples of REF (encode, decode, result)</text>',
        *(_grid(decade, decades, bottom) for decade in range(decades + 1)),
        *(_bar(place, times, name, decades) for place, (times, name) in enumerate(bars)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _across(times: float, decades: int) -> float:
    """Return how far to the right *times* lies."""
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * math.log10(max(times, 1.0)) / decades


def _grid(decade: int, decades: int, bottom: int) -> str:
    """Draw the line of a power of ten."""
    x = _across(10**decade, decades)
    return (
        f'<line x1="{x:.1f}" y1="{_TOP - 6}" x2="{x:.1f}" y2="{bottom}" stroke="#e9ecef"/>'
        f'<text class="small" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{10**decade:,} ×</text>'
    )


def _bar(place: int, times: float, name: str, decades: int) -> str:
    """Draw one contender."""
    y = _TOP + _STEP * place
    x = _across(times, decades)
    colour = _OURS if name.startswith("ours") else _OTHERS
    text_y = y + _BAR - 5
    return (
        f'<text x="{_LEFT - 8}" y="{text_y}" text-anchor="end">{escape(name)}</text>'
        f'<rect x="{_LEFT}" y="{y}" width="{max(x - _LEFT, 1):.1f}" height="{_BAR}" rx="2" fill="{colour}"/>'
        f'<text x="{x + 6:.1f}" y="{text_y}">{times:,.1f} ×</text>'
    )
