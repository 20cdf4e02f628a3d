"""Pictures of every view, light, dark and on a phone, of ``serve --demo``: ``python -m tests.web.pictures docs/page``.

They need what the browser tests need.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from ..service.serving import serving
from .browsers import CHROMIUM, OPTIONS
from .sight import Sight

LOOKS: dict[str, dict[str, object]] = {
    "light": {"viewport": {"width": 1100, "height": 800}},
    "dark": {"viewport": {"width": 1100, "height": 800}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}},
}


def main(directory: Path) -> None:
    """Make them, each as ``VIEW-LOOK.png``. Raises what the browser does."""
    directory.mkdir(parents=True, exist_ok=True)
    with serving("--demo", "--port", "0") as (_, demo), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        for look, options in LOOKS.items():
            with Sight.opened(browser, demo, **options) as sight:
                _take(sight, directory, look)
        browser.close()


def _take(sight: Sight, directory: Path, look: str) -> None:
    sight.page.goto("/login")
    sight.page.screenshot(path=directory / f"login-{look}.png")
    sight.log_in()
    sight.quiet()
    archive = sight.api.get("/api/backup/list").json()["backups"][0]["key"]
    drill = sight.jobs(kind="drill")[0]["id"]
    views = {
        "history": "/history",
        "drill": f"/jobs/{drill}",
        "report": f"/jobs/{drill}/report",
        "compare": f"/restore/compare?key={archive}",
        "restore": "/restore",
        "wizard": f"/restore/archive?key={archive}",
        "settings": "/settings",
        "audit": "/audit",
    }
    for name, path in views.items():
        sight.page.goto(path)
        sight.page.screenshot(path=directory / f"{name}-{look}.png")
    sight.page.goto(f"/restore/compare?key={archive}")
    sight.press("Compare")
    sight.page.get_by_text("Compared:").wait_for()
    sight.page.screenshot(path=directory / f"difference-{look}.png")
    sight.page.goto(f"/restore/archive?key={archive}")
    sight.press("Preview")
    sight.page.get_by_text("What is in the archive, and what is there now").wait_for()
    sight.page.locator("#preview").screenshot(path=directory / f"preview-{look}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
