"""What is done with archives at the page: verified, drilled, looked into, fetched, kept, deleted."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import httpx
import pytest

from .sight import Sight

if TYPE_CHECKING:
    from .site import Site


@pytest.fixture
def archive(site: Site) -> str:
    """One of its own for each test."""
    return site.backup()


def _at(person: Sight, archive: str) -> None:
    """The list of archives, with the buttons of one."""
    person.page.goto("/restore")
    person.page.get_by_text(f"More for {archive}").click()


def test_verify(person: Sight, site: Site, archive: str) -> None:
    """A job reads it to its end; the list says when, the audit log who asked."""
    before = site.last_job()
    _at(person, archive)
    person.press(f"Verify {archive}")
    person.page.wait_for_url("**/jobs/*")
    job = site.ended(before, "verify")
    assert (job["status"], job["archive"], job["requested_by"]) == ("completed", archive, "u-admin")
    person.page.get_by_text("completed", exact=False).first.wait_for()
    verdicts = site.rows("SELECT verdict FROM kleidia_backup.verifications WHERE archive = %s", archive)
    assert verdicts
    assert site.audit("verify.completed")[0]["archive"] == archive


def test_drill(person: Sight, site: Site, archive: str) -> None:
    """It comes back in scratch servers; the job's page has the evidence, the list says since when it is proven."""
    before = site.last_job()
    _at(person, archive)
    person.press(f"Drill {archive}")
    job = site.ended(before, "drill")
    assert (job["status"], job["archive"]) == ("completed", archive), job
    assert job["report"]["verdict"] == "proven"
    assert site.audit("drill.completed")[0]["archive"] == archive
    person.page.get_by_role("link", name="JSON", exact=True).wait_for()
    person.page.goto("/restore")
    row = person.page.get_by_role("row").filter(has_text=archive)
    assert row.locator("[data-label=Proven]").inner_text().startswith("20")


def test_contents(person: Sight, site: Site, archive: str) -> None:
    """Its tables and the paths of its secrets are shown; that somebody looked is in the audit log."""
    _at(person, archive)
    person.press(f"Contents {archive}")
    person.page.get_by_text("public.users").wait_for()
    person.page.get_by_text("Paths of secrets").click()
    person.page.get_by_text("secret-4").wait_for()
    assert site.audit("archive.inspected")[0]["archive"] == archive


def test_download(person: Sight, site: Site, archive: str) -> None:
    """The link gives the very bytes that the store has, to who has no cookie too."""
    _at(person, archive)
    person.press(f"Download {archive}")
    to = person.page.get_by_role("link", name="Fetch it from the store").get_attribute("href")
    assert to is not None
    fetched = httpx.get(to).raise_for_status().content
    assert hashlib.sha256(fetched).digest() == hashlib.sha256(site.bucket.get(archive)).digest()
    assert site.audit("archive.downloaded")[0]["archive"] == archive


def test_pin_and_unpin(person: Sight, site: Site, archive: str) -> None:
    """A pinned one cannot be deleted; the reason is kept; then it can."""
    _at(person, archive)
    row = person.page.get_by_role("row").filter(has_text=archive)
    row.get_by_label("Reason").fill("case <7>")
    person.press(f"Pin {archive}")
    row.get_by_text("pinned").wait_for()
    assert [each["key"] for each in site.ask("GET", "pins")["pins"]] == [archive]
    assert "case <7>" in site.audit("archive.pinned")[0]["details"]
    _delete(person, archive)
    person.page.get_by_role("alert").wait_for()
    assert archive in site.archives()
    person.wrong.clear()  # the browser complains of the refusal's status
    _at(person, archive)
    person.press(f"Unpin {archive}")
    person.page.get_by_text(f"More for {archive}").wait_for()
    assert site.ask("GET", "pins") == {"pins": []}
    assert site.audit("archive.unpinned")[0]["archive"] == archive


def test_delete(person: Sight, site: Site, archive: str) -> None:
    """By who types its name; another name deletes nothing."""
    other = site.backup()  # the last one is kept
    person.page.goto(f"/restore/delete?key={archive}")
    person.page.get_by_label("Type its name").fill(other)
    person.press("Delete it")
    person.page.get_by_text("Nothing was deleted.").wait_for()
    assert {archive, other} <= {*site.archives()}
    person.wrong.clear()  # the refusal's status
    _delete(person, archive)
    person.page.wait_for_url("**/restore")
    assert archive not in site.archives()
    assert other in site.archives()
    assert site.audit("archive.deleted")[0]["archive"] == archive
    assert person.page.get_by_text(archive).count() == 0


def _delete(person: Sight, archive: str) -> None:
    _at(person, archive)
    person.page.get_by_role("link", name=f"Delete… {archive}").click()
    person.page.get_by_label("Type its name").fill(archive)
    person.press("Delete it")
