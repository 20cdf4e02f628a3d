"""A person logs in at an OpenID provider: there, back, and out again; and what is seen when that does not work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from kleidia_backup.demo.servers.together import OpenBaoServer, PostgresServer, S3Server

from .provider import at_a_provider, login_at
from .sight import Sight
from .site import Site, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from ..service.openid import OpenId


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenId]:
    """Where Ada is known, who is one of ops and of staff."""
    with at_a_provider() as made:
        yield made


@pytest.fixture(scope="module")
def site(
    provider: OpenId,
    postgres_server: PostgresServer,
    openbao_server: OpenBaoServer,
    rclone_server: S3Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """A service whose people log in there."""
    directory = tmp_path_factory.mktemp("login")
    with running(postgres_server, openbao_server, rclone_server, directory, login_at(provider)) as made:
        yield made


@pytest.fixture
def visitor(chromium: Browser, site: Site, provider: OpenId) -> Iterator[Sight]:
    """Somebody who is not logged in yet; the browser may go to the provider."""
    with Sight.opened(chromium, site.told, provider.issuer) as opened:
        yield opened


def _there(visitor: Sight, provider: OpenId) -> None:
    visitor.page.get_by_role("heading", name="The provider").wait_for()
    assert visitor.page.url.startswith(f"{provider.issuer}/authorize?")


def test_to_the_provider_and_back_and_out(visitor: Sight, site: Site, provider: OpenId) -> None:
    """By the button, and to where one wanted to go; name and role are seen, buttons are the role's; and out again."""
    page = visitor.page
    page.goto("/login/token?next=/restore")
    page.get_by_role("link", name="Log in with your organization").click()
    _there(visitor, provider)
    page.get_by_role("link", name="Go on as Ada").click()
    page.wait_for_url(f"{site.told['url']}/restore")
    assert page.locator(".who").inner_text() == "Ada, operator"
    assert site.audit("login.completed")[0]["user_id"] == "s-ada"
    cookies = {each["name"]: each for each in page.context.cookies(site.told["url"])}
    (session,) = [each for name, each in cookies.items() if "session" in name]
    assert (session["httpOnly"], session["secure"], session["sameSite"]) == (True, True, "Lax")
    page.goto("/settings")
    assert page.get_by_role("button", name="Save").count() == 0  # an operator's view
    page.goto("/history")
    visitor.press("Run Backup Now")
    job = site.ended(0, "backup")
    assert (job["status"], job["requested_by"], job["requested_by_name"]) == ("completed", "s-ada", "Ada")

    visitor.press("Log out")
    _there(visitor, provider)  # by way of the provider's own logout and our front page, which asks for a login again
    assert site.audit("login.ended")[0]["user_id"] == "s-ada"
    assert site.rows("SELECT * FROM kleidia_backup.sessions") == []
    page.goto("/history")
    _there(visitor, provider)


def test_a_login_that_fails_says_so(visitor: Sight, site: Site, provider: OpenId) -> None:
    """Refused at the provider, or without any role here: the cause, and the way to try again, which works."""
    page = visitor.page
    page.goto("/settings")
    _there(visitor, provider)
    page.get_by_role("link", name="Do not").click()
    page.get_by_role("heading", name="The login did not work").wait_for()
    assert "The provider refused the login." in page.get_by_role("alert").inner_text()
    visitor.wrong.clear()  # the refusal's status
    page.get_by_role("link", name="Log in again").click()
    _there(visitor, provider)
    provider.user["realm"] = {"groups": ["strangers"]}
    try:
        page.get_by_role("link", name="Go on as Ada").click()
        page.get_by_role("heading", name="The login did not work").wait_for()
    finally:
        provider.user["realm"] = {"groups": ["ops", "staff"]}
    assert "Your login gives you no role here." in page.get_by_role("alert").inner_text()
    assert site.rows("SELECT * FROM kleidia_backup.sessions") == []
    assert site.audit("login.refused")[0]["details"].endswith(": Your login gives you no role here.")
    visitor.wrong.clear()
    page.get_by_role("link", name="Log in with a token").click()
    page.get_by_label("Token").wait_for()
    page.get_by_role("link", name="Log in with your organization").click()
    _there(visitor, provider)
    page.get_by_role("link", name="Go on as Ada").click()
    page.locator(".who").wait_for()
    assert page.locator(".who").inner_text() == "Ada, operator"
    visitor.press("Log out")
    _there(visitor, provider)
