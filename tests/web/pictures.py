"""Pictures of every view, light, dark and on a phone: ``python -m tests.web.pictures docs/page``.

Most are of ``serve --demo``; what the demo has not, a login at a provider and a restore that ended in the middle, is of
a service on the tests' servers. They need what the browser tests need. A picture ends after ``MOST`` of a look: the
rest of a long view is more of the same.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from PIL import Image
from playwright.sync_api import sync_playwright

from kleidia_backup.demo.servers.together import start_servers

from ..service.serving import serving
from .browsers import CHROMIUM, OPTIONS
from .looks import LOOKS, MOST
from .provider import at_a_provider, login_at
from .sight import Sight
from .site import Site, running
from .test_restoring import unfinished

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    Take = Callable[[str], None]

#: Colours of a picture: with fewer a border loses its own, which few pixels have. A file has half of the bytes.
_COLORS = 256
#: A restore in its middle, which no real one is for long enough.
_RESTORING = """
INSERT INTO kleidia_backup.jobs (kind, backup_type, target, status, archive, requested_by, requested_by_name, ip,
    workstation, started_at, heartbeat_at, replica, phase, progress, options)
VALUES ('restore', 'full', 'site', 'running', %s, 'u-admin', 'Ada admin', '192.0.2.7', '', now() - interval '41 s',
    now() + interval '1 hour', 'another', 'restore', '{"sql_bytes": 402653184, "sql_total": 1073741824, "secrets": 9214,
    "secrets_total": 50000, "archive_bytes": 130023424, "archive_total": 343932928}',
    '{"reason": "Ticket 4711: wrong prices since Monday", "prune": true}')
RETURNING id
"""


def main(directory: Path) -> None:
    """Make them, each as ``VIEW-LOOK.png``. Raises what the browser does."""
    directory.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        with serving("--demo", "--port", "0") as (_, demo):
            for look, options in LOOKS.items():
                with Sight.opened(browser, demo, **options) as sight:
                    _of_the_demo(sight, partial(_take, sight, directory, look))
        _of_a_site(browser, directory)
        browser.close()


def _take(sight: Sight, directory: Path, look: str, name: str) -> None:
    width, height, top = sight.page.evaluate("[innerWidth, document.documentElement.scrollHeight, window.shown || 0]")
    clip: Any = {"x": 0, "y": top, "width": width, "height": min(height - top, MOST[look])}
    made = Image.open(BytesIO(sight.page.screenshot(full_page=True, clip=clip)))
    small = made.convert("RGB").quantize(_COLORS, dither=Image.Dither.NONE)
    small.save(directory / f"{name}-{look}.png", optimize=True)


def _of_the_demo(sight: Sight, take: Take) -> None:
    sight.log_in()
    sight.quiet()
    page = sight.page
    archive = sight.api.get("/api/backup/list").json()["backups"][0]["key"]
    drill = sight.jobs(kind="drill")[0]["id"]
    views = {
        "history": "/history",
        "drill": f"/jobs/{drill}",
        "report": f"/jobs/{drill}/report",
        "wizard": f"/restore/archive?key={archive}",
        "delete": f"/restore/delete?key={archive}",
        "settings": "/settings",
        "audit": "/audit",
        "systems": "/targets",
    }
    for name, path in views.items():
        page.goto(path)
        take(name)
    page.goto("/restore")
    page.get_by_text("More for").first.click()
    take("restore")
    sight.press(f"Contents {archive}")
    page.get_by_text("public.users").wait_for()
    take("contents")
    page.goto(f"/restore/compare?key={archive}")
    with psycopg.connect(sight.demo["database"], autocommit=True) as connection:
        # So that something is different: the next archive, of the next look, has it.
        there = connection.execute("SELECT to_regclass('made_since') IS NOT NULL").fetchone() == (True,)
        connection.execute("DROP TABLE made_since" if there else "CREATE TABLE made_since (id int)")
        connection.execute("DELETE FROM kleidia_backup.limits")  # one may look into archives five times a minute
    sight.press("Compare")
    page.get_by_text("Compared:").wait_for()
    take("difference")
    page.goto(f"/restore/archive?key={archive}")
    page.get_by_label("Encryption password").fill(sight.demo["password"])
    sight.press("Validate Password")
    page.get_by_text("The password opens the archive.").wait_for()
    sight.press("Preview")
    page.get_by_text("What is in the archive, and what is there now").wait_for()
    page.locator("#preview").evaluate("each => { window.shown = each.parentElement.offsetTop - 16; }")
    take("preview")
    _running(sight, take)


def _running(sight: Sight, take: Take) -> None:
    """A backup that waits for a table."""
    page, before = sight.page, sight.jobs()[0]["id"]
    with closing(psycopg.connect(sight.demo["database"])) as holder:
        holder.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        page.goto("/history")
        sight.press("Run Backup Now")
        page.get_by_text("dumping, sealing and uploading").wait_for()
        page.goto("/history")
        take("running")
    sight.ended("backup", before)


def _of_a_site(browser: Browser, directory: Path) -> None:
    with (
        tempfile.TemporaryDirectory() as place,
        start_servers(Path(place) / "servers") as servers,
        at_a_provider() as provider,
        running(servers.postgres, servers.openbao, servers.s3, Path(place), login_at(provider)) as site,
    ):
        archive = site.backup()
        ((number,),) = site.rows(_RESTORING, archive)
        for look, options in LOOKS.items():
            with Sight.opened(browser, site.told, **options) as sight:
                sight.log_in()
                sight.page.goto(f"/jobs/{number}")
                sight.page.get_by_text("Cancel…").click()
                _take(sight, directory, look, "restoring")
        site.rows("DELETE FROM kleidia_backup.jobs WHERE id = %s", number)
        unfinished(site, archive)
        for look, options in LOOKS.items():
            with Sight.opened(browser, site.told, provider.issuer, **options) as sight:
                _of_logins(sight, site, partial(_take, sight, directory, look))


def _of_logins(sight: Sight, site: Site, take: Take) -> None:
    sight.page.goto("/login/token")
    take("login")
    sight.page.get_by_role("link", name="Log in with your organization").click()
    sight.page.get_by_role("link", name="Do not").click()
    sight.page.get_by_role("heading", name="The login did not work").wait_for()
    take("login-failed")
    sight.wrong.clear()  # its status
    sight.log_in()
    sight.page.goto("/restore")
    take("unfinished")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
