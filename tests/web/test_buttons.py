"""Every button of the page has a test that presses it and looks outside the browser at what became of it."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kleidia_backup.service.web import templating

from .sight import Sight
from .test_restoring import unfinished

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from .site import Site

#: What a form or a button calls, and the tests that press it. A new button fails here until it has one.
PRESSED = {
    "/history/backup": "test_jobs.test_a_backup_is_seen_to_its_end",
    "/jobs/{}/cancel": "test_jobs.test_a_second_one_is_refused_and_the_first_is_cancelled",
    "/history": "test_buttons.test_lists_are_filtered",
    "/audit": "test_buttons.test_lists_are_filtered",
    "/audit.csv?action={}": "test_buttons.test_lists_are_filtered",
    "/restore/archive?key={}": "test_restoring.test_restore_now",
    "/restore/validate": "test_restoring.test_restore_now",
    "/restore/preview": "test_restoring.test_a_preview_names_what_stands_in_the_way",
    "/restore/start": "test_restoring.test_restore_now",
    "/restore/undo": "test_restoring.test_undo",
    "/restore/dismiss": "test_restoring.test_dismiss",
    # Contents, Verify, Drill and Download are one line of the template.
    "/restore/{}": "test_archives.test_contents test_archives.test_verify test_archives.test_drill"
    " test_archives.test_download",
    "/restore/pin": "test_archives.test_pin_and_unpin",
    "/restore/unpin": "test_archives.test_pin_and_unpin",
    "/restore/delete": "test_archives.test_delete",
    "{}": "test_archives.test_download",
    "/api{}/backup/archive/{}": "../service/test_page_access.test_a_form_says_no_more_than_the_api_takes",
    "/settings": "test_settings.test_every_field_is_stored test_settings.test_two_editors_field_by_field",
    "/settings/test": "test_settings.test_the_connection_is_tested_with_what_is_typed",
    "/settings/retention": "test_settings.test_retention_is_shown_before_it_deletes",
    "/settings/notify": "test_settings.test_a_message_is_sent_by_way_of_trial",
    "/login/token": "test_sight.test_the_login_takes_a_token_and_no_other",
    "/login?next={}": "../service/test_login.test_from_login_to_logout",
    "/switch": "../service/test_page_frame.test_another_target_is_shown_in_the_same_view",
    "/restore/compare": "test_sight.test_an_archive_is_compared_with_what_is_there",
    "/login": "../service/test_login.test_a_login_that_failed_is_a_page_for_people",
    "/logout": "test_sight.test_the_login_takes_a_token_and_no_other",
}
_ADDRESS = re.compile(r"""<(?:form|button)\b[^>]*?\b(?:form)?action="([^"]*)"|<a class="button" href="([^"]*)\"""")

#: What a page has that is pressed: how it is sent, and where.
_PRESSABLE = """
[...document.querySelectorAll("form, [formaction], [hx-post], a.button")].map(each => each.matches("a")
    ? ["get", each.getAttribute("href")]
    : [(each.form || each).method, each.getAttribute("formaction") || each.getAttribute("action")
        || each.getAttribute("hx-post")])
"""
#: Of ``PRESSED``, what is seen before a login or after one that failed, where there are several systems, and what an
#: archive in a directory has instead of a link to the store.
_ELSEWHERE = {"/login/token", "/login?next={}", "/login", "/switch", "/api{}/backup/archive/{}"}


def test_every_button_has_a_test() -> None:
    """Of all templates; and each test that is named is there."""
    here = Path(__file__).parent
    found = set()
    for template in (Path(templating.__file__).parent / "templates").glob("*.html"):
        for addresses in _ADDRESS.findall(template.read_text(encoding="utf-8")):
            bare = re.sub(r"^\{\{ (here|base) \}\}", "", "".join(addresses))
            found.add(re.sub(r"\{\{.*?\}\}", "{}", bare))
    assert found == {*PRESSED}
    for named in " ".join(PRESSED.values()).split():
        module, _, function = named.rpartition(".")
        tree = ast.parse((here / f"{module}.py").read_text(encoding="utf-8"))
        names = {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert function in names, named


def test_lists_are_filtered(person: Sight, site: Site) -> None:
    """Jobs by kind, the audit log by action, and its file: what they show is what the tables have."""
    site.backup()
    person.page.goto("/history")
    person.page.get_by_label("Kind").select_option("Drill")
    person.press("Show")
    person.page.get_by_text("There are no jobs like that.").wait_for()
    person.page.goto("/audit")
    person.page.get_by_label("Action").select_option("backup.completed")
    person.press("Show")
    person.page.wait_for_url("**/audit?action=backup.completed")
    entries = site.audit("backup.completed")
    assert person.page.locator("[data-label=What]").all_inner_texts() == ["backup.completed"] * len(entries)
    with person.page.expect_download() as file:
        person.page.get_by_role("link", name="Download as CSV").click()
    lines = file.value.path().read_text(encoding="utf-8").splitlines()[1:]
    assert [line.split(",")[0] for line in lines] == [str(entry["id"]) for entry in entries]


@pytest.mark.parametrize("role", ["admin", "operator", "viewer"])
def test_whoever_sees_a_button_may_press_it(chromium: Browser, site: Site, role: str) -> None:
    """Every view as it is shown, with a job that runs and a restore that ended in the middle.

    What can be pressed there is one of those that have a test, and is not refused to who sees it; an administrator sees
    all of them.
    """
    pinned, archive = site.backup(), site.backup()
    last = site.last_job()
    site.ask("POST", f"pins/{pinned}", {"reason": "another button"})
    try:
        with Sight.opened(chromium, site.told) as person, site.held():
            person.log_in(role)
            site.ask("POST", "trigger", {"type": "full"})
            running = "SELECT id FROM kleidia_backup.jobs WHERE phase = 'backup' AND id > %s"
            site.until(lambda: site.rows(running, last), "the backup runs")
            unfinished(site, archive)
            found = _pressable(person, archive, last)
            person.wrong.clear()  # views that are an administrator's answer others with a page that says so
            for method, to in found:
                assert any(_is(to, address) for address in PRESSED), to
                if method == "post" and to != "/logout":  # which takes no form, and ends the session
                    headers = {"Content-Type": "text/plain", "Sec-Fetch-Site": "same-origin"}
                    answer = person.page.request.post(to, data="x", headers=headers)
                    assert answer.status == 415, (to, answer.status)  # its sender may, and it is no form
    finally:
        site.idle()
        site.ask("POST", "restore/dismiss")
        site.ask("DELETE", f"pins/{pinned}")
        site.idle()
    seen = {address for address in PRESSED for _, to in found if _is(to, address)}
    if role == "admin":
        assert seen == {*PRESSED} - _ELSEWHERE
    else:
        sent = {to for method, to in found if method == "post"}
        own = {"/history/backup", f"/jobs/{last + 1}/cancel", "/restore/verify", "/restore/drill"}
        assert sent == {"/logout"} | (own if role == "operator" else set())


def _pressable(person: Sight, archive: str, job: int) -> set[tuple[str, str]]:
    """What can be pressed in all views, by its method and address; the job after ``job`` runs."""
    page, found = person.page, set[tuple[str, str]]()
    views = ["history", "audit", "restore", "settings", "targets", f"jobs/{job}", f"jobs/{job + 1}"]
    for view in (*views, *(f"restore/{each}?key={archive}" for each in ("archive", "compare", "delete"))):
        page.goto(f"/{view}")
        found |= {(method, to) for method, to in page.evaluate(_PRESSABLE)}
    for name, heading in (("Contents", "Contents of"), ("Download", "Download")):
        page.goto("/restore")
        more = page.get_by_text(f"More for {archive}")
        if more.count() and page.get_by_role("button", name=f"{name} {archive}", include_hidden=True).count():
            more.click()
            person.press(f"{name} {archive}")
            page.get_by_role("heading", name=heading).wait_for()
            found |= {(method, to) for method, to in page.evaluate(_PRESSABLE)}
    return found


def _is(to: str, address: str) -> bool:
    """Whether an address on a page is one of a template, where it has {} for what differs."""
    differs = {"{}": "http.*", "/restore/{}": "/restore/(contents|verify|drill|download)"}
    return re.fullmatch(differs.get(address) or re.escape(address).replace(r"\{\}", "[^&]*"), to) is not None
