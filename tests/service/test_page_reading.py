"""What the page has to read: the command of a restore, differences, reports as tables, a login that failed."""

from __future__ import annotations

import html
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import anyio
import httpx
import psycopg
import pytest

from kleidia_backup.cli import build_parser
from kleidia_backup.commands.arguments.places import check_places
from kleidia_backup.commands.arguments.some import check_chosen
from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.demo.servers.together import KvMount
from kleidia_backup.pipeline.copies.settings import Copy
from kleidia_backup.service.api.models import Restore
from kleidia_backup.service.service import Service
from kleidia_backup.service.web.command import restore_command
from kleidia_backup.service.web.views import looking
from kleidia_backup.stages.stores.directory.store import DirectorySettings

from .asking import admin_of, backed_up, ended
from .conftest import PASSWORD, new_backup

pytestmark = pytest.mark.anyio

_KEY = "backups/backup-full-20260117-020000.enc"


@pytest.mark.parametrize(
    ("asked", "parsed"),
    [
        ({}, {"backup_first": True, "prune": False, "only": None}),
        ({"only": "vault", "prune": True, "backup_first": False}, {"only": "vault", "prune": True}),
        ({"tables": ["public.users", 'app."a b"']}, {"table": 'public.users,app."a b"'}),
        ({"tables": ["public.users"], "as": "users; rm -rf /"}, {"copy": "users; rm -rf /", "backup_first": False}),
        ({"secrets": ["app/$(id)", "app/*"]}, {"secret": ("app/$(id)", "app/*")}),
        ({"into_database": "-x 'y'", "create_database": True}, {"into_database": "-x 'y'", "create": True}),
        ({"into_mount": "kv/`a`"}, {"into_mount": "kv/`a`"}),
        ({"fresh": True, "policies": True}, {"fresh": True, "policies": True}),
        ({"from_other_system": True, "search_path": ["a", "b"]}, {"search_path": "a,b", "from_other_system": True}),
        ({"from_copy": "far", "as_of": "2026-01-17T12:00:00Z"}, {"from_copy": "far"}),
        ({"key": "--yes"}, {"name": "--yes", "yes": False}),
    ],
)
def test_the_command_says_what_the_form_does(asked: dict[str, Any], parsed: dict[str, Any]) -> None:
    """As a shell reads it, and the command's own parser after that; the password and the reason are not in it."""
    secret = {"password": "canary-password", "reason": "canary-reason"}
    wanted = Restore.model_validate({"key": _KEY} | asked | secret)
    line = restore_command(wanted, "app")
    program, *arguments = shlex.split(line)
    assert program == "kleidia-backup"
    found = build_parser().parse_args(arguments)
    assert (check_chosen(found), check_places(found)) == ("", "")
    expected = {"command": "restore", "name": _KEY, "of_target": "app", "undo": False} | parsed
    assert {name: getattr(found, name) for name in expected} == expected
    assert "canary" not in line


async def _pressed(client: httpx.AsyncClient, path: str, **fields: str) -> httpx.Response:
    headers = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
    return await client.post(path, content=urlencode(fields), headers=headers)


async def _found(client: httpx.AsyncClient, begun: httpx.Response) -> str:
    """What an inspection shows when it has ended."""
    assert begun.status_code == 303, begun.text
    with anyio.fail_after(60):
        while "Nothing is changed.</p><progress" in (text := (await client.get(begun.headers["Location"])).text):  # noqa: ASYNC110 - as a person does
            await anyio.sleep(0.1)
    return html.unescape(text)


async def test_the_preview_shows_the_command(service: Service) -> None:
    """With and without the script; an address of another archive shows none."""
    async with admin_of(service) as admin:
        await admin.put("/api/backup/settings", json={"encryption_password": PASSWORD})
        key = (await backed_up(admin))["archive"]
        form = {"key": key, "only": "vault", "password": PASSWORD, "confirm": "x", "reason": "why"}
        begun = await _pressed(admin, "/restore/preview", **form)
        assert PASSWORD not in begun.headers["Location"]
        page = await _found(admin, begun)
        assert f">kleidia-backup restore --only=vault {key}</pre>" in page
        number = begun.headers["Location"].partition("?")[0]
        other = await admin.get(number, params={"key": "backups/another.enc"})
        assert (other.status_code, "kleidia-backup restore" in other.text) == (200, False)
        headers = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
        part = await admin.post("/restore/preview", content=urlencode(form), headers=headers | {"HX-Request": "true"})
        assert f"kleidia-backup restore --only=vault {key}" in part.text
        assert PASSWORD not in part.text


async def test_differences_from_an_archive(service: Service, application: str, kv: KvMount) -> None:
    """To what there is now, and to another archive: tables, rows, schema, secrets; no value of one."""
    async with admin_of(service) as admin:
        await admin.put("/api/backup/settings", json={"encryption_password": PASSWORD})
        first = (await backed_up(admin))["archive"]
        with psycopg.connect(application, autocommit=True) as connection:
            connection.execute("DELETE FROM users WHERE id > 3")
            connection.execute("CREATE TABLE only_now (id int)")
        kv.put("app/secret-0", {"value": "canary-changed"})
        kv.put("app/secret-new", {"value": "canary-new"})
        second = (await backed_up(admin))["archive"]  # of the same second it would have another name
        form = await admin.get("/restore/compare", params={"key": first})
        assert (form.status_code, f'value="{second}"' in form.text) == (200, True)
        for other in ("", second):
            page = await _found(admin, await _pressed(admin, "/restore/compare", key=first, other=other))
            rows = re.search(r"public\.users</th><td>another number of rows</td><td>20</td><td>3</td>", page)
            assert rows, page
            assert re.search(r"only_now</th><td>is new</td>", page)
            assert "CREATE TABLE public.only_now" in page
            assert "1 are new, 0 gone, 1 changed, 12 the same" in page
            assert "canary" not in page.replace("canary-jwt", "")
        missing = await _pressed(admin, "/restore/compare", key="backups/none.enc")
        assert (missing.status_code, 'role="alert"' in missing.text) == (404, True)


async def test_an_archive_that_is_not_listed_is_compared_too(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are more than the form lists, it says so, and takes a name."""
    async with admin_of(service) as admin:
        await admin.put("/api/backup/settings", json={"encryption_password": PASSWORD})
        first, second = [(await backed_up(admin, "vault"))["archive"] for _ in range(2)]
        whole = (await admin.get("/restore/compare", params={"key": second})).text
        assert 'name="older"' not in whole
        monkeypatch.setattr(looking, "MOST", 1)
        form = (await admin.get("/restore/compare", params={"key": second})).text
        assert 'name="older"' in form
        assert f'value="{first}"' not in form
        page = await _found(admin, await _pressed(admin, "/restore/compare", key=second, other="", older=first))
        assert "0 are new, 0 gone, 0 changed, 13 the same" in page


async def test_a_verification_as_tables(service: Service) -> None:
    """What was read and what the archive says of itself; a backup has no such report."""
    async with admin_of(service) as admin:
        await admin.put("/api/backup/settings", json={"encryption_password": PASSWORD})
        made = await backed_up(admin)
        await _pressed(admin, "/restore/verify", key=made["archive"])
        verified = await ended(admin, made["id"] + 1)
        assert verified["status"] == "completed"
        page = (await admin.get(f"/jobs/{verified['id']}/report")).text
        assert "Verified: the archive was read to its last byte" in page
        assert re.search(r'<th scope="row">Secrets</th><td>13</td>', page)
        assert re.search(r'<th scope="row">Rows</th><td>\d+</td>', page)
        assert f"/jobs/{verified['id']}/report" in (await admin.get(f"/jobs/{verified['id']}")).text
        assert (await admin.get(f"/jobs/{made['id']}/report")).status_code == 404


async def test_a_drill_as_tables(service: Service) -> None:
    """Everything in its report, escaped; what is not as it should be comes first."""
    report = {
        "verdict": "failed",
        "reason": "Rows are missing.",
        "archive": {"key": "a.enc", "size": 2048, "created_at": "2026-01-17T12:00:00+00:00"},
        "failures": [{"check": "rows", "name": "public.<b>users"}],
        "steps": [{"name": "restore", "started": "2026-01-18T12:00:00+00:00", "seconds": 61.0, "result": "ok"}],
        "database": {
            "tables": [{"name": "public.users", "rows_in_archive": 20, "rows_restored": None, "equal": False}],
            "objects": {"server": "16.1", "tables_missing": ["public.users"], "indexes": 3},
        },
        "vault": {"secrets_in_archive": 12, "equal": 12, "missing": 0, "extra": None},
        "checks": [{"name": "any user", "expected": "t", "found": "f", "passed": False}],
        "rto": {"seconds": 61.0, "target": 3600, "met": True},
        "rpo": {"seconds": 7200, "target": None, "met": None},
        "environment": {"where": "embedded", "isolated": True},
        "previous": {"id": "d-1", "verdict": "proven", "sha256": "ab"},
        "file": "",
    }
    job = await service.jobs.create(new_backup(kind="drill", archive="a.enc"))
    assert await service.jobs.start(job.id, "r")
    assert await service.jobs.fail(job.id, "Failed: Rows are missing.", "Look.", report=report)
    async with admin_of(service) as admin:
        page = (await admin.get(f"/jobs/{job.id}/report")).text
    assert "public.&lt;b&gt;users" in page
    assert '<th scope="row">public.users</th><td>20</td><td>\u2013</td><td>no</td>' in page
    assert '<th scope="row">any user</th><td>t</td><td>f</td><td>no</td>' in page
    assert '<th scope="row">restore</th><td>2026-01-18 12:00</td><td>1 min 01 s</td><td>ok</td>' in page
    assert "1.0 h" in page or "1 h 00 min" in page
    assert page.index("Not as the archive says") < page.index("<caption>Archive")


async def test_a_restore_says_what_is_done_and_what_is_not(service: Service) -> None:
    """Step by step, each marked for who sees no colours; what takes back what it wrote has no steps."""
    job = await service.jobs.create(new_backup(kind="restore", archive=_KEY, options={"prune": True}))
    shown = {}
    async with admin_of(service) as admin, service.control.connection() as connection:
        for phase in ("prepare", "verify", "restore", "commit", "prune", "undo"):
            await connection.execute(
                "UPDATE kleidia_backup.jobs SET status = 'running', started_at = now(), phase = %s", (phase,)
            )
            page = (await admin.get(f"/jobs/{job.id}")).text
            shown[phase] = re.findall(r"<li( aria-current=\"step\")?>.*?>([a-z ]+):</span>", page)
            assert ("cannot be cancelled any more" in page) == (phase == "commit")
    now, done, later = (' aria-current="step"', "now"), ("", "done"), ("", "not yet")
    assert shown == {
        "prepare": [later] * 4,
        "verify": [now, later, later, later],
        "restore": [done, now, later, later],
        "commit": [done, done, now, later],
        "prune": [done, done, done, now],
        "undo": [],
    }


async def test_settings_say_what_the_configuration_does(service_settings: ServiceSettings, tmp_path: Path) -> None:
    """Schedules in words with their next runs, how archives are locked, and the second copies."""
    copy = Copy(number=1, name="far <away>", store=DirectorySettings(tmp_path))
    async with Service(replace(service_settings, copies=(copy,))) as service, admin_of(service) as admin:
        changed = {"schedule": "30 1 * * *", "drill_schedule": "0 5 * * 0", "drill_schedule_enabled": True}
        assert (await admin.put("/api/backup/settings", json=changed | {"schedule_enabled": True})).status_code == 200
        page = (await admin.get("/settings")).text
    backups = re.search(r"The next backups, at 01:30 every day: ([^(]*) \(UTC\)", page)
    assert backups, page
    assert len(backups[1].split(", ")) == 5
    assert "The next drills, at 05:00 on Sunday: " in page
    assert "No verification is made by the schedule." in page
    assert "The service does not lock archives." in page
    assert "far &lt;away&gt;" in page
    assert str(tmp_path) in page
