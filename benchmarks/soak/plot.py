"""The samples as SVG: a curve for each thing, one below the other."""

from __future__ import annotations

from collections.abc import Sequence

from .samples import ALLOWED, PER_JOB, WARM_UP, Sample

_WIDTH, _HEIGHT, _LEFT, _ROW = 720, 70, 170, 96


def plot(samples: Sequence[Sample], title: str, hours: float) -> str:
    """The drawing; the warm-up is grey, and each scale begins at zero."""
    names = [*ALLOWED, "jobs", PER_JOB]
    height = 40 + _ROW * len(names) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 20} {height}" role="img">',
        "<style>text { font: 12px sans-serif }</style>",
        f"<title>{title}</title>",
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="10" y="20" font-size="14">{title}</text>',
    ]
    for number, name in enumerate(names):
        parts += _row([each[name] for each in samples], name, 40 + number * _ROW)
    parts.append(f'<text x="{_LEFT}" y="{height - 8}">0</text>')
    parts.append(f'<text x="{_LEFT + _WIDTH}" y="{height - 8}" text-anchor="end">{hours:.2f} hours</text></svg>')
    return "\n".join(parts) + "\n"


def _row(values: Sequence[float], name: str, top: int) -> list[str]:
    highest, last = max(values) or 1, max(1, len(values) - 1)
    points = " ".join(
        f"{_LEFT + _WIDTH * place / last:.1f},{top + _HEIGHT - _HEIGHT * value / highest:.1f}"
        for place, value in enumerate(values)
    )
    base = top + _HEIGHT
    return [
        f'<rect x="{_LEFT}" y="{top}" width="{_WIDTH * WARM_UP:.0f}" height="{_HEIGHT}" fill="#eee"/>',
        f'<line x1="{_LEFT}" y1="{base}" x2="{_LEFT + _WIDTH}" y2="{base}" stroke="#999"/>',
        f'<polyline points="{points}" fill="none" stroke="#1f5fa8" stroke-width="1.5"/>',
        f'<text x="10" y="{top + 20}">{name}</text>',
        f'<text x="10" y="{top + 38}" fill="#555">{min(values):,.1f} to {max(values):,.1f}</text>',
    ]
