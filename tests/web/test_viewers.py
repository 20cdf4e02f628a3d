"""Two hundred people look on while one takes a backup."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from kleidia_backup.service.api.login.cookies import SESSION
from kleidia_backup.service.control.database import _CONNECTIONS
from kleidia_backup.service.service import BACKGROUND

from .viewers import viewing

if TYPE_CHECKING:
    from .sight import Sight
    from .site import Site

_VIEWERS = 200
#: Sessions as logins leave them. By logging in it would take minutes: an address may make sixty steps in each.
_SESSIONS = """
INSERT INTO kleidia_backup.sessions (id, client, subject, name, roles, begun_at)
SELECT sha256(convert_to('viewer-' || n, 'UTF8')), client, 'v-' || n, 'Viewer ' || n, '{viewer}', now()
FROM generate_series(1, %s) n, (SELECT client FROM kleidia_backup.sessions ORDER BY begun_at DESC LIMIT 1) known
"""
#: Connections of the service's pools that are open now.
_OPEN = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'kleidia-backup service' AND datname = current_database()
"""


def test_two_hundred_viewers(person: Sight, site: Site) -> None:
    """They have the history and the job's page open, which ask as pages do; he presses the button and sees it end.

    Nobody gets anything but pages, everybody sees the end, and the service opens no connections for them.
    """
    site.rows(_SESSIONS, _VIEWERS)
    cookies = [f"{SESSION}=viewer-{number}" for number in range(1, _VIEWERS + 1)]
    before, archives = site.last_job(), site.archives()
    connections: list[int] = []
    with ExitStack() as held:
        held.enter_context(site.held())
        person.press("Run Backup Now")
        running = "SELECT id FROM kleidia_backup.jobs WHERE phase = 'backup' AND id > %s"
        ((number,),) = site.until(lambda: site.rows(running, before), "the backup runs")
        page, part = f"/jobs/{number}", "/history/running"
        person.page.goto(page)
        with viewing(site.told["url"], cookies, ("/history", page)) as viewers:

            def looked(times: int) -> bool:
                connections.append(int(site.rows(_OPEN)[0][0]))
                return min(viewers.asked[page], viewers.asked[part]) >= times or bool(viewers.errors)

            site.until(lambda: looked(3 * _VIEWERS), "all of them look, again and again")
            assert viewers.watching == 2 * _VIEWERS, (viewers.errors, viewers.statuses)
            person.page.get_by_text("dumping, sealing and uploading").wait_for()
            held.close()
            site.until(lambda: looked(10**9) or site.job(number)["status"] == "completed", "the backup ends")
            person.page.get_by_text(str(site.job(number)["checksum"])).first.wait_for()
            site.until(lambda: looked(10**9) or viewers.watching == 0, "all of them see the end")
    assert viewers.errors == []
    assert {*viewers.statuses} <= {200, 286, 304}, viewers.statuses
    job = site.job(number)
    for cookie in cookies:
        assert f"Backup {number}" in viewers.seen[cookie, "/history"]
        assert "Nothing runs." in viewers.seen[cookie, "/history"]
        assert job["checksum"] in viewers.seen[cookie, page]
    assert {*site.archives()} == {*archives, job["archive"]}
    assert max(connections) <= _CONNECTIONS + BACKGROUND, connections
    assert person.wrong == []
