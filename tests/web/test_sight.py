"""What a person does at the page, in a real browser; effects are checked outside of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from .sight import Sight

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_TABS = ("/history", "/restore", "/settings", "/audit")


def test_the_login_takes_a_token_and_no_other(sight: Sight) -> None:
    """A wrong one is refused in words; the right one leads to where one wanted to go; logging out ends it."""
    sight.page.goto("/settings")
    assert "/login" in sight.page.url
    sight.page.get_by_label("Token").fill("x" * 40)
    sight.press("Log in with the token")
    assert sight.page.get_by_role("alert").is_visible()
    sight.page.get_by_label("Token").fill(sight.demo["viewer_token"])
    sight.press("Log in with the token")
    sight.page.wait_for_url("**/settings")
    assert sight.page.get_by_role("button", name="Save").count() == 0
    sight.press("Log out")
    sight.page.goto("/history")
    assert "/login" in sight.page.url
    sight.wrong.clear()  # the browser complains of the refused login's status


def test_a_backup_is_seen_from_its_button_to_its_end(sight: Sight) -> None:
    """Without loading the page again: it runs, and then stands among the jobs."""
    sight.quiet()
    sight.log_in()
    before = sight.jobs()[0]["id"]
    sight.press("Run Backup Now")
    job = sight.ended("backup", before)
    assert job["status"] == "completed"
    sight.page.get_by_text("Nothing runs.").wait_for()
    sight.page.get_by_role("link", name=f"Backup {job['id']}", exact=True).click()
    assert sight.page.get_by_text(str(job["checksum"])).first.is_visible()
    assert sight.page.get_by_text(str(job["archive"])).first.is_visible()


def test_wrecked_data_come_back(sight: Sight) -> None:
    """The wizard: a wrong password in words, a wrong name stops it, and then rows are there again."""
    sight.quiet()
    sight.log_in()
    before = sight.jobs()[0]["id"]
    sight.press("Run Backup Now")
    sight.ended("backup", before)
    database = sight.demo["database"]
    with psycopg.connect(database, autocommit=True) as connection:
        rows = connection.execute("SELECT count(*) FROM users").fetchone()
        connection.execute("DELETE FROM users")
    sight.page.goto("/restore")
    sight.page.get_by_role("link", name="Restore backups/").first.click()
    sight.page.get_by_label("Encryption password").fill("wrong")
    sight.press("Validate Password")
    sight.page.get_by_text("does not open").wait_for()
    sight.page.get_by_label("Encryption password").fill(sight.demo["password"])
    sight.press("Validate Password")
    sight.page.get_by_text("The password opens the archive.").wait_for()
    sight.page.get_by_label("to confirm").fill("nobody")
    sight.press("Restore Now")
    sight.page.get_by_text("Nothing was started").wait_for()
    assert not sight.jobs(kind="restore") or sight.jobs(kind="restore")[0]["id"] <= before
    sight.wrong.clear()  # the refused form's status
    sight.page.get_by_label("Encryption password").fill(sight.demo["password"])
    sight.page.get_by_label("to confirm").fill("demo")
    sight.press("Restore Now")
    job = sight.ended("restore", before)
    assert job["status"] == "completed", job
    sight.page.get_by_text("Restart the application").wait_for()
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == rows


def test_two_editors(sight: Sight, chromium: Browser, demo: dict[str, str]) -> None:
    """The second sees what the first stored beside what was typed, and may save it then."""
    sight.log_in()
    sight.page.goto("/settings")
    sight.page.get_by_label("Retention Days").fill("21")
    with Sight.opened(chromium, demo) as other:
        other.log_in()
        other.page.goto("/settings")
        other.page.get_by_label("Retention Days").fill("14")
        other.press("Save")
        other.page.get_by_text("Saved.").wait_for()
    sight.press("Save")
    sight.page.get_by_text("Stored: 14").wait_for()
    assert sight.page.get_by_label("Retention Days").input_value() == "21"
    sight.wrong.clear()  # the conflict's status
    sight.press("Save")
    sight.page.get_by_text("Saved.").wait_for()
    assert sight.api.get("/api/backup/settings").json()["retention_days"] == 21


def test_the_connection_is_tested_before_it_is_saved(sight: Sight) -> None:
    """With what the form says; a bucket that is not there is named."""
    sight.log_in()
    sight.page.goto("/settings")
    sight.press("Test S3 Connection")
    sight.page.locator("#tested .good").wait_for()
    sight.page.get_by_label("Bucket").fill("there-is-none")
    sight.press("Test S3 Connection")
    sight.page.locator("#tested .bad").wait_for()
    assert sight.api.get("/api/backup/settings").json()["bucket"] != "there-is-none"


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, {"viewport": {"width": 390, "height": 844}}])
def test_axe_finds_nothing(chromium: Browser, demo: dict[str, str], options: dict[str, Any]) -> None:
    """On every tab, light, dark and on a phone; nothing is wider than a phone."""
    from axe_playwright_python.sync_playwright import Axe

    with Sight.opened(chromium, demo, bypass_csp=True, **options) as sight:
        sight.page.goto("/login")
        views = ["/login"]
        assert Axe().run(sight.page).violations_count == 0
        sight.log_in()
        sight.quiet()
        job, drill = (sight.jobs(kind=kind)[0]["id"] for kind in ("backup", "drill"))
        key = sight.api.get("/api/backup/list").json()["backups"][0]["key"]
        more = (f"/jobs/{job}", f"/jobs/{drill}/report", f"/restore/archive?key={key}", f"/restore/compare?key={key}")
        for view in (*_TABS, *more):
            sight.page.goto(view)
            found = Axe().run(sight.page)
            assert found.violations_count == 0, f"{view}: {found.generate_report()}"
            views.append(view)
            width, room = sight.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
            assert width <= room, view


def test_everything_works_without_javascript(chromium: Browser, demo: dict[str, str]) -> None:
    """A backup, the wizard's password and the connection's test, by forms alone."""
    with Sight.opened(chromium, demo, java_script_enabled=False) as sight:
        sight.quiet()
        sight.log_in()
        before = sight.jobs()[0]["id"]
        sight.press("Run Backup Now")
        sight.ended("backup", before)
        sight.page.goto("/restore")
        sight.page.get_by_role("link", name="Restore backups/").first.click()
        sight.page.get_by_label("Encryption password").fill(sight.demo["password"])
        sight.press("Validate Password")
        sight.page.get_by_text("The password opens the archive.").wait_for()
        sight.page.goto("/settings")
        sight.press("Test S3 Connection")
        sight.page.locator("#tested .good").wait_for()


def test_a_drills_evidence_is_linked(sight: Sight) -> None:
    """As a page to print, and as it is signed."""
    sight.quiet()
    sight.log_in()
    sight.page.goto(f"/jobs/{sight.jobs(kind='drill')[0]['id']}")
    for name in ("HTML", "JSON"):
        to = sight.page.get_by_role("link", name=name, exact=True).get_attribute("href")
        assert to is not None
        assert sight.page.request.get(to).status == 200


def test_the_keyboard_is_enough(sight: Sight) -> None:
    """From the first key to a job's page: each control is reached, and it is seen where one is."""
    sight.quiet()
    sight.log_in()
    sight.page.keyboard.press("Tab")
    assert sight.page.evaluate("document.activeElement.className") == "skip"
    for _ in range(30):
        sight.page.keyboard.press("Tab")
        if sight.page.evaluate("document.activeElement.textContent").strip() == "Run Backup Now":
            break
    outline = sight.page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "3px"
    before = sight.jobs()[0]["id"]
    sight.page.keyboard.press("Enter")
    assert sight.ended("backup", before)["status"] == "completed"


def test_an_archive_is_compared_with_what_is_there(sight: Sight) -> None:
    """From its row to the differences; and the preview of the wizard shows the command."""
    sight.quiet()
    sight.log_in()
    sight.page.goto("/restore")
    sight.page.get_by_text("More for").first.click()
    sight.page.get_by_role("link", name="Compare… backups/").first.click()
    key = sight.page.get_by_role("heading", level=1).inner_text().removeprefix("Compare ")
    sight.press("Compare")
    sight.page.get_by_text("Compared: database and vault").wait_for()
    sight.page.goto(f"/restore/archive?key={key}")
    sight.page.get_by_label("Also remove secrets").check()
    sight.press("Preview")
    line = sight.page.get_by_label("Command", exact=True)
    line.wait_for()
    assert line.inner_text() == f"kleidia-backup restore --prune --backup-first {key}"
    sight.page.get_by_text("What is in the archive, and what is there now").wait_for()
