"""The steps to a restore, and what is done after one that ended in the middle; all of it by what is seen."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import psycopg
import pytest

from kleidia_backup import Root, TokenAuth, VaultSettings
from kleidia_backup.stages.vault.sink import Change
from kleidia_backup.stages.vault.undo.journal import Journal

from .sight import Sight
from .site import PASSWORD

if TYPE_CHECKING:
    from .site import Site


@pytest.fixture
def archive(site: Site) -> Iterator[str]:
    """One of a whole application; what a test wrecks is brought back by the next one's."""
    yield site.backup()
    site.rows("TRUNCATE users RESTART IDENTITY")
    site.rows("INSERT INTO users (name) SELECT 'user ' || n FROM generate_series(1, 20) n")
    site.kv.put("app/secret-0", {"value": "s0"})


def _wreck(site: Site) -> None:
    site.rows("DELETE FROM users WHERE id > 3")
    site.kv.put("app/secret-0", {"value": "changed"})
    site.kv.put("app/secret-new", {"value": "not in the archive"})


def test_restore_now(person: Sight, site: Site, archive: str) -> None:
    """Every step: a wrong password, the right one, a preview that counts what is there, another name, and the end."""
    page = person.page
    whole, all_rows = site.secrets(), site.rows("SELECT * FROM users ORDER BY id")
    _wreck(site)
    page.goto("/restore")
    page.get_by_role("link", name=f"Restore {archive}").click()
    password = page.get_by_label("Encryption password")
    password.fill("not-the-password")
    person.press("Validate Password")
    page.get_by_text("does not open").wait_for()
    assert site.audit("password.refused")[0]["archive"] == archive
    password.fill(PASSWORD)
    person.press("Validate Password")
    page.get_by_text("The password opens the archive.").wait_for()

    page.get_by_label("Also remove secrets").check()
    person.press("Preview")
    page.get_by_text("Nothing stands in the way.").wait_for()
    users = page.get_by_role("row").filter(has_text="public.users")
    assert users.get_by_role("cell").all_inner_texts()[0] == "20"
    assert "1 changed" in page.locator("#preview").inner_text()
    assert "1 are not in the archive and would be removed" in page.locator("#preview").inner_text()
    assert (site.users(), site.secrets()["secret-0"]) == (3, {"value": "changed"})  # nothing was done

    before = site.last_job()
    page.get_by_label("to confirm").fill("another")
    person.press("Restore Now")
    page.get_by_text("Nothing was started").wait_for()
    assert site.last_job() == before
    assert password.input_value() == ""
    assert page.get_by_label("Also remove secrets").is_checked()
    person.wrong.clear()  # the refused form's status

    password.fill(PASSWORD)
    page.get_by_label("Back up what is there first").uncheck()
    page.get_by_label("to confirm").fill("site")
    page.get_by_label("Reason").fill("Ticket <4711>")
    person.press("Restore Now")
    page.wait_for_url("**/jobs/*")
    job = site.ended(before, "restore")
    assert (job["status"], job["archive"], job["options"]["reason"]) == ("completed", archive, "Ticket <4711>"), job
    page.get_by_text("Restart the application").wait_for()
    page.get_by_text("Ticket <4711>").wait_for()
    assert site.rows("SELECT * FROM users ORDER BY id") == all_rows
    assert site.secrets() == whole
    assert site.audit("restore.completed")[0]["user_id"] == "u-admin"


def test_a_restore_by_keyboard_alone(person: Sight, site: Site, archive: str) -> None:
    """From the list to the end; what has the focus is seen at every step."""
    _wreck(site)
    before = site.last_job()
    person.page.goto("/restore")
    person.tab_to(f"Restore {archive}")
    person.page.keyboard.press("Enter")
    person.page.get_by_label("Encryption password").wait_for()
    person.tab_to("password")
    person.page.keyboard.type(PASSWORD)
    person.tab_to("Validate Password")
    person.page.keyboard.press("Space")
    person.page.get_by_text("The password opens the archive.").wait_for()
    person.tab_to("backup_first")
    person.page.keyboard.press("Space")
    person.tab_to("confirm")
    person.page.keyboard.type("site")
    person.tab_to("Restore Now")
    person.page.keyboard.press("Enter")
    assert site.ended(before, "restore")["status"] == "completed"
    person.page.get_by_text("Restart the application").wait_for()
    assert site.users() == 20
    assert site.secrets()["secret-0"] == {"value": "s0"}


def test_one_table_and_one_secret_alone(person: Sight, site: Site, archive: str) -> None:
    """What is chosen comes back, all else stays."""
    _wreck(site)
    site.rows("DELETE FROM audit_logs")
    for table, pattern in (("public.audit_logs", ""), ("", "secret-0")):
        before = site.last_job()
        person.page.goto(f"/restore/archive?key={archive}")
        person.page.get_by_text("Only some tables or secrets").click()
        person.page.get_by_label("Tables, one a line").fill(table)
        person.page.get_by_label("Secrets, one a line").fill(pattern)
        person.page.get_by_label("Back up what is there first").uncheck()
        person.page.get_by_label("to confirm").fill("site")
        person.press("Restore Now")
        job = site.ended(before, "restore")
        assert job["status"] == "completed", job
        assert site.users() == 3
    assert site.rows("SELECT count(*) FROM audit_logs") == [(5,)]
    assert site.secrets()["secret-0"] == {"value": "s0"}
    assert "secret-new" in site.secrets()


def test_into_another_place(person: Sight, site: Site, archive: str) -> None:
    """A new database has what the archive has; what is there now stays."""
    _wreck(site)
    before, place = site.last_job(), f"beside_{secrets.token_hex(4)}"
    person.page.goto(f"/restore/archive?key={archive}")
    person.page.get_by_label("Parts").select_option("the database alone")
    person.page.get_by_text("Into another place").click()
    person.page.get_by_label("Database", exact=True).fill(place)
    person.page.get_by_label("Make it where it is missing").check()
    person.page.get_by_label("Back up what is there first").uncheck()
    person.page.get_by_label("to confirm").fill("site")
    person.press("Restore Now")
    try:
        job = site.ended(before, "restore")
        assert job["status"] == "completed", job
        with psycopg.connect(site.database, dbname=place) as connection:
            assert connection.execute("SELECT count(*) FROM users").fetchone() == (20,)
        assert (site.users(), site.secrets()["secret-0"]) == (3, {"value": "changed"})
    finally:
        site.rows(f"DROP DATABASE IF EXISTS {place}")


def test_a_preview_names_what_stands_in_the_way(person: Sight, site: Site) -> None:
    """A role that a right needs and that is gone; a password that does not open it is told in words too."""
    role = f"reader_{secrets.token_hex(4)}"
    site.rows(f"CREATE ROLE {role}")
    site.rows(f"GRANT SELECT ON users TO {role}")
    archive = site.backup()
    site.rows(f"DROP OWNED BY {role}")
    site.rows(f"DROP ROLE {role}")
    person.page.goto(f"/restore/archive?key={archive}")
    person.page.get_by_label("Encryption password").fill("not-the-password")
    person.press("Preview")
    person.page.locator("#preview").get_by_role("alert").wait_for()
    assert "Wrong password" in person.page.locator("#preview").inner_text()
    person.page.get_by_label("Encryption password").fill(PASSWORD)
    person.press("Preview")
    person.page.get_by_text("This restore would fail:").wait_for()
    assert role in person.page.locator("#preview").inner_text()


def test_undo(person: Sight, site: Site, archive: str) -> None:
    """What an unfinished restore wrote is put back; the banner says which restore it was, and is gone then."""
    unfinished(site, archive)
    person.page.goto("/history")
    assert archive in person.page.locator("#unfinished").inner_text()
    before = site.last_job()
    person.press("Undo")
    job = site.ended(before, "restore")
    assert job["status"] == "completed", job
    assert site.secrets()["secret-0"] == {"value": "s0"}
    person.page.goto("/history")
    assert person.page.locator("#unfinished").count() == 0


def test_dismiss(person: Sight, site: Site, archive: str) -> None:
    """What an unfinished restore wrote stays, and nobody is asked any more."""
    unfinished(site, archive)
    person.page.goto("/settings")
    person.page.locator("#unfinished").wait_for()
    before = site.last_job()
    person.press("Dismiss")
    assert site.ended(before, "restore")["status"] == "completed"
    assert site.secrets()["secret-0"] == {"value": "written"}
    person.page.goto("/history")
    assert person.page.locator("#unfinished").count() == 0
    assert not [*site.state.rglob("*.journal")]


def unfinished(site: Site, archive: str) -> None:
    """A restore that died after it had overwritten a secret."""
    vault = VaultSettings(site.kv.server.address, TokenAuth("t"), (Root("", site.kv.path, "app"),))

    async def restore() -> None:
        journal = await anyio.to_thread.run_sync(Journal.begin, archive, vault, site.state)
        now = site.kv.server.request("GET", f"{site.kv.path}/data/app/secret-0")[1]["data"]["metadata"]["version"]
        change = Change(site.kv.path, "app/secret-0", 2, now, existed=True)
        await journal(change)
        site.kv.put("app/secret-0", {"value": "written"})
        await journal(replace(change, after=now + 1))
        journal.close()

    thread = threading.Thread(target=lambda: anyio.run(restore))  # the browser's driver has this thread's loop
    thread.start()
    thread.join()
