"""How the page looks in its pictures."""

from __future__ import annotations

from typing import Any

#: What a browser is told for each: a window, and colours.
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1100, "height": 800}},
    "dark": {"viewport": {"width": 1100, "height": 800}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}},
}
#: How much of a view is shown at most: pixels from its top.
MOST = {"light": 1500, "dark": 1500, "phone": 1688}
