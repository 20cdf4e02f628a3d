"""Settings at the page: every field, what is tested before it is saved, and what two editors see of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from .sight import Sight
from .site import PASSWORD

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from .site import Site

#: Every field by its name in the form, and another value of it.
CHANGED = {
    "region": "eu-central-1",
    "prefix": "elsewhere/",
    "schedule_enabled": True,
    "schedule": "15 3 * * *",
    "verify_schedule_enabled": True,
    "verify_schedule": "30 4 * * *",
    "drill_schedule_enabled": True,
    "drill_schedule": "45 5 * * 0",
    "timezone": "Europe/Vienna",
    "retention_days": 17,
    "include_audit_logs": False,
    "insecure_tls": True,
    "format": "v2",
}


def test_every_field_is_stored(person: Sight, site: Site) -> None:
    """What was typed is what the API says afterwards, and what the form shows when it is loaded again."""
    page, before = person.page, site.ask("GET", "settings")
    page.goto("/settings")
    for name, value in CHANGED.items():
        field = page.locator(f"[name={name}]")
        if isinstance(value, bool):
            field.set_checked(value)
        elif field.evaluate("each => each.tagName") == "SELECT":
            field.select_option(str(value))
        else:
            field.fill(str(value))
    page.locator("[name=secret_access_key]").fill(site.bucket.server.secret_key)
    person.press("Save")
    page.get_by_text("Saved.").wait_for()
    now = site.ask("GET", "settings")
    assert {name: now[name] for name in CHANGED} == CHANGED
    assert {name for name in now if now[name] != before[name]} <= {*CHANGED, "version", "updated_at", "updated_by"}
    page.goto("/settings")
    assert page.locator("[name=schedule]").input_value() == "15 3 * * *"
    assert not page.locator("[name=include_audit_logs]").is_checked()
    assert "03:15" in page.get_by_text("The next backups").inner_text()
    assert site.bucket.server.secret_key not in page.content()
    assert site.audit("settings.changed")[0]["user_id"] == "u-admin"
    site.ask("PUT", "settings", {name: before[name] for name in CHANGED} | {"schedule_enabled": False})


def test_a_new_password_is_typed_twice(person: Sight, site: Site) -> None:
    """With a slip in one of the two nothing is saved; the same in both counts for what is made from then on."""
    page, new = person.page, "another-canary-password-of-25"

    def opens(key: str, password: str) -> bool:
        return bool(site.ask("POST", "restore/validate-password", {"key": key, "password": password})["valid"])

    older = site.backup()
    for again in (f"{new}x", new):
        page.goto("/settings")
        page.get_by_label("Encryption password").fill(new)
        page.get_by_label("The same again").fill(again)
        person.press("Save")
        (page.get_by_text("Saved.") if again == new else page.get_by_role("alert")).wait_for()
        assert new not in page.content()
        made = site.backup()
        assert (opens(made, new), opens(made, PASSWORD)) == (again == new, again != new)
        person.wrong.clear()  # the refusal's status
    assert opens(older, PASSWORD)
    site.ask("PUT", "settings", {"encryption_password": PASSWORD})


def test_the_connection_is_tested_with_what_is_typed(person: Sight, site: Site) -> None:
    """A bucket that is not there, a key that does not fit: each is named, nothing is saved."""
    before = site.ask("GET", "settings")
    person.page.goto("/settings")
    person.press("Test S3 Connection")
    person.page.locator("#tested .good").wait_for()
    for name, wrong in (("bucket", "there-is-none"), ("secret_access_key", "not-the-key")):
        person.page.goto("/settings")
        person.page.locator(f"[name={name}]").fill(wrong)
        person.press("Test S3 Connection")
        bad = person.page.locator("#tested .bad")
        bad.wait_for()
        assert len(bad.inner_text()) > 10
        person.page.locator("form[data-guard]").evaluate("form => form.reset()")
    assert site.ask("GET", "settings") == before


def test_retention_is_shown_before_it_deletes(person: Sight, site: Site) -> None:
    """What the typed rules would delete now; all archives are there afterwards, and the rules are as before."""
    archives = {site.backup() for _ in range(3)}
    before = site.ask("GET", "settings")
    person.page.goto("/settings")
    person.page.locator("[name=keep_at_least]").fill("1")
    person.page.locator("[name=retention_days]").fill("1")
    person.press("Show what would be deleted")
    person.page.get_by_text("Nothing would be deleted now").wait_for()
    for archive in archives:
        person.page.locator("#kept").get_by_text(archive).wait_for()
    assert archives <= {*site.archives()}
    assert site.ask("GET", "settings") == before


def test_a_message_is_sent_by_way_of_trial(person: Sight, site: Site) -> None:
    """It is received; one that nobody takes is told."""
    person.page.goto("/settings")
    received = len(site.receiver.requests)
    person.press("Send test")
    person.page.locator("#notified .good").wait_for()
    assert [each.json["event"] for each in site.receiver.requests[received:]] == ["test"]
    site.receiver.status = 500
    try:
        person.press("Send test")
        person.page.locator("#notified .bad").wait_for()
    finally:
        site.receiver.status = 200


def test_two_editors_field_by_field(person: Sight, site: Site, chromium: Browser) -> None:
    """The second sees what the first stored beside each field that differs, his own text in it, and decides."""
    person.page.goto("/settings")
    person.page.locator("[name=retention_days]").fill("21")
    person.page.locator("[name=timezone]").fill("Asia/Tokyo")
    with Sight.opened(chromium, site.told) as other:
        other.log_in()
        other.page.goto("/settings")
        other.page.locator("[name=retention_days]").fill("14")
        other.page.locator("[name=schedule]").fill("5 5 * * *")
        other.press("Save")
        other.page.get_by_text("Saved.").wait_for()
    person.press("Save")
    person.page.get_by_role("alert").wait_for()
    shown = {
        name: person.page.locator(".field").filter(has=person.page.locator(f"[name={name}]")).inner_text()
        for name in ("retention_days", "schedule", "timezone", "region")
    }
    assert "Stored: 14" in shown["retention_days"]
    assert "Stored: 5 5 * * *" in shown["schedule"]
    assert "Stored: UTC" in shown["timezone"]
    assert "Stored" not in shown["region"]
    assert person.page.locator("[name=retention_days]").input_value() == "21"
    assert site.ask("GET", "settings")["retention_days"] == 14
    person.wrong.clear()  # the conflict's status
    person.page.locator("[name=schedule]").fill("5 5 * * *")
    person.press("Save")
    person.page.get_by_text("Saved.").wait_for()
    now = site.ask("GET", "settings")
    assert (now["retention_days"], now["schedule"], now["timezone"]) == (21, "5 5 * * *", "Asia/Tokyo")


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_who_may_not_sees_no_button(chromium: Browser, site: Site, role: str) -> None:
    """Every view; what is sent all the same is refused, and is in no audit log as done."""
    archive = site.backup()
    with Sight.opened(chromium, site.told) as person:
        person.log_in(role)
        for view in ("/history", "/restore", "/settings", "/audit"):
            person.page.goto(view)
            words = {each.inner_text().split()[0] for each in person.page.get_by_role("button").all()}
            allowed = {"Log", "Show"} | ({"Run", "Verify", "Drill", "Test"} if role == "operator" else set())
            assert words <= allowed, (view, words)
        cookies = {each["name"]: each["value"] for each in person.page.context.cookies()}
    before = site.ask("GET", "settings")
    for path, fields in (("restore/delete", {"key": archive, "confirm": archive}), ("settings", {"bucket": "x"})):
        answer = httpx.post(
            f"{site.told['url']}/{path}", data=fields, cookies=cookies, headers={"Sec-Fetch-Site": "same-origin"}
        )
        assert answer.status_code == 403
    assert archive in site.archives()
    assert site.ask("GET", "settings") == before
