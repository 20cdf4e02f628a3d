"""Charts as SVG, made on the server: a strip of days, and bars. Their numbers stand in a table beside them as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

#: Units of the drawing: it is scaled to where it is shown.
_WIDTH, _HEIGHT, _GAP = 600, 80, 2


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: how high from 0 to 1, what it says, and its class of colour. ``x``, ``y``, … are of the drawing."""

    x: float
    y: float
    width: float
    height: float
    title: str
    kind: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars, and the size of the drawing."""

    bars: tuple[Bar, ...]
    width: int = _WIDTH
    height: int = _HEIGHT

    @property
    def drawn(self) -> Markup:
        """The bars as SVG. A page has two hundred: a template takes six times as long for them."""
        made = "".join(
            f'<rect class="{each.kind}" x="{each.x}" y="{each.y}" width="{each.width}" height="{each.height}">'
            f"<title>{escape(each.title)}</title></rect>"
            for each in self.bars
        )
        return Markup(made)  # noqa: S704 - the title is escaped, the rest is numbers and our own words


@dataclass(frozen=True, slots=True)
class Point:
    """What a bar is made of."""

    value: float
    title: str
    kind: str = "completed"


def bars(points: Sequence[Point]) -> Chart:
    """Bars side by side, the highest as high as the drawing."""
    top = max((point.value for point in points), default=0) or 1
    step = _WIDTH / max(1, len(points))
    made = []
    for place, point in enumerate(points):
        height = max(1.0, _HEIGHT * point.value / top)
        made.append(
            Bar(
                round(place * step, 2),
                round(_HEIGHT - height, 2),
                round(max(1.0, min(40.0, step - _GAP)), 2),
                round(height, 2),
                point.title,
                point.kind,
            )
        )
    return Chart(tuple(made))


def strip(points: Sequence[Point]) -> Chart:
    """A square for each, side by side, in the colour of its kind."""
    step = _WIDTH / max(1, len(points))
    side = round(min(step - _GAP, 18.0), 2)
    made = (Bar(round(place * step, 2), 0, side, 18, point.title, point.kind) for place, point in enumerate(points))
    return Chart(tuple(made), height=18)
