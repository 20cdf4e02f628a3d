"""Jobs at the page: begun, seen to their end, cancelled; and what it says when something breaks meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .sight import Sight

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from .site import Site


def _running(site: Site, after: int) -> int:
    """The number of the backup that was begun after a job, once it dumps."""
    query = "SELECT id FROM kleidia_backup.jobs WHERE phase = 'backup' AND id > %s"
    ((number,),) = site.until(lambda: site.rows(query, after), "the backup runs")
    return int(number)


def test_a_backup_is_seen_to_its_end(person: Sight, site: Site) -> None:
    """The store takes nothing for a while; then the job's page goes on to its end, and is not loaded again."""
    before = site.last_job()
    with site.held():
        person.press("Run Backup Now")
        number = _running(site, before)
        person.page.goto(f"/jobs/{number}")
        person.page.evaluate("window.same = true")
        person.page.get_by_text("dumping, sealing and uploading").wait_for()
        person.page.get_by_role("progressbar").wait_for()
        site.store.hold()
    try:
        person.page.locator("#job").get_by_text("of SQL").wait_for()  # dumped, and not in the store
        assert site.archives() == []
    finally:
        site.store.open()
    job = site.ended(before, "backup")
    person.page.get_by_text(str(job["checksum"])).first.wait_for()
    assert person.page.evaluate("window.same") is True
    assert person.page.get_by_role("progressbar").count() == 0
    assert (job["status"], job["backup_type"], job["requested_by"]) == ("completed", "full", "u-admin")
    assert site.archives() == [job["archive"]]
    assert site.audit("backup.completed")[0]["job_id"] == number


def test_a_second_one_is_refused_and_the_first_is_cancelled(person: Sight, site: Site) -> None:
    """In words, with what is in the way; the cancelled one stays so, and leaves no archive."""
    before, archives = site.last_job(), site.archives()
    with site.held():
        person.press("Run Backup Now")
        site.until(
            lambda: site.rows("SELECT 1 FROM kleidia_backup.jobs WHERE phase = 'backup' AND id > %s", before), ""
        )
        number = site.last_job()
        person.page.goto("/history")
        person.press("Run Backup Now")
        refused = person.page.get_by_role("alert")
        refused.wait_for()
        assert f"{number}" in refused.inner_text()
        assert site.last_job() == number
        person.wrong.clear()  # the refusal's status
        person.page.goto(f"/jobs/{number}")
        person.page.get_by_text("Cancel…").click()
        person.page.get_by_text("removes what was uploaded").wait_for()
        for _ in range(2):  # it stays open while the page asks on
            with person.page.expect_response(f"**/jobs/{number}"):
                pass
        person.press(f"Cancel job {number}")
        job = site.ended(before, "backup")
    assert job["status"] == "failed"
    assert job["cancelled_by"] == "u-admin" or "Ada" in job["cancelled_by"]
    person.page.goto(f"/jobs/{number}")
    person.page.get_by_text("Cancelled by").first.wait_for()
    assert site.job(number)["status"] == "failed"
    assert site.archives() == archives
    assert site.audit("job.cancelled")[0]["job_id"] == number


def test_a_broken_store_is_told_with_the_next_step(person: Sight, site: Site) -> None:
    """In the list's place, by the connection's test, and by the job that fails of it; it is well again afterwards."""
    site.store.shut()
    try:
        person.page.goto("/restore")
        alert = person.page.get_by_role("alert")
        alert.wait_for()
        assert len(alert.locator("p").all()) == 2  # what it is, and what to do
        person.page.goto("/settings")
        person.press("Test S3 Connection")
        person.page.locator("#tested .bad").wait_for()
        before = site.last_job()
        person.page.goto("/history")
        person.press("Run Backup Now")
        job = site.ended(before, "backup")
        assert job["status"] == "failed"
        assert job["error"]
        assert job["hint"]
        person.page.goto(f"/jobs/{job['id']}")
        told = person.page.get_by_role("alert").inner_text()
        assert job["error"] in told
        assert job["hint"] in told
        person.page.goto("/history")
        person.page.get_by_text("The last backup failed").wait_for()
    finally:
        site.store.open()
    person.page.goto("/restore")
    assert person.page.get_by_role("alert").count() == 0
    assert site.backup() in site.archives()


def test_a_lost_session(person: Sight, site: Site) -> None:
    """It was ended elsewhere: what is pressed does nothing and leads to the login, and from there on."""
    before = site.last_job()
    person.page.goto("/settings")
    site.rows("DELETE FROM kleidia_backup.sessions")
    person.page.get_by_label("Retention Days").fill("77")
    person.press("Save")
    person.page.get_by_label("Token").wait_for()
    assert site.ask("GET", "settings")["retention_days"] != 77
    person.page.get_by_label("Token").fill(site.told["admin_token"])
    person.press("Log in with the token")
    person.page.get_by_role("button", name="Run Backup Now").wait_for()
    # A page that asks by itself is led there too.
    with site.held():
        person.press("Run Backup Now")
        site.until(lambda: site.last_job() > before, "a job is there")
        person.page.goto(f"/jobs/{site.last_job()}")
        site.rows("DELETE FROM kleidia_backup.sessions")
        person.page.get_by_label("Token").wait_for()
    person.wrong.clear()  # the browser complains of the status
    assert site.ended(before, "backup")["status"] == "completed"


def test_a_killed_service(chromium: Browser, site: Site) -> None:
    """Killed in a backup: the page says that nobody answers; started again, it shows what became of the job."""
    site.idle()
    with Sight.opened(chromium, site.told) as person:
        person.log_in()
        before, archives = site.last_job(), site.archives()
        with site.held():
            person.press("Run Backup Now")
            number = _running(site, before)
            person.page.goto(f"/jobs/{number}")
            person.page.get_by_text("dumping, sealing and uploading").wait_for()
            site.kill()
            person.page.get_by_text("The service does not answer").wait_for()
            query = "SELECT 1 FROM kleidia_backup.jobs WHERE id = %s AND heartbeat_at < now() - interval '9 seconds'"
            site.until(lambda: site.rows(query, number), "its silence is long enough for who comes after it")
            site.again()
        job = site.ended(before, "backup")
        assert (job["id"], job["status"]) == (number, "failed")
        person.page.get_by_text(str(job["error"])).first.wait_for()  # nobody has loaded the page again
        assert not person.page.get_by_text("The service does not answer").is_visible()
        assert site.archives() == archives
        person.wrong.clear()  # the browser complains of every answer that did not come
        person.page.goto("/history")
        person.page.get_by_text("The last backup failed").wait_for()
        assert site.backup() in site.archives()
