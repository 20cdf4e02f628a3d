"""Every button of the page has a test that presses it and looks outside the browser at what became of it."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

from kleidia_backup.service.web import templating

if TYPE_CHECKING:
    from .sight import Sight
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
