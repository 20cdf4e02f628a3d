"""A person at the page: what is seen, pressed and typed, and everything that must never happen meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import httpx

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


class Sight:
    """A page, and the API beside it, by which effects are checked outside the browser.

    ``wrong`` collects what the browser complains of (a refused script or style, an error) and requests that leave the
    origin; ``provider`` is where a login may lead.
    """

    def __init__(self, page: Page, demo: dict[str, str], api: httpx.Client, provider: str | None = None) -> None:
        self.page, self.demo, self.api = page, demo, api
        known = (demo["url"], provider or demo["url"])
        self.wrong: list[str] = []
        page.on("console", lambda said: self.wrong.append(said.text) if said.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(known) else self.wrong.append(asked.url))

    @classmethod
    @contextmanager
    def opened(
        cls, browser: Browser, demo: dict[str, str], provider: str | None = None, **options: Any
    ) -> Iterator[Self]:
        """A window of its own, with no cookies of others."""
        context = browser.new_context(base_url=demo["url"], **options)
        headers = {"Authorization": f"Bearer {demo['admin_token']}"}
        try:
            with httpx.Client(base_url=demo["url"], headers=headers) as api:
                made = cls(context.new_page(), demo, api, provider)
                yield made
                assert made.wrong == []
        finally:
            context.close()

    def log_in(self, role: str = "admin") -> None:
        """By a token, as the demo tells it."""
        self.page.goto("/login/token")
        self.page.get_by_label("Token").fill(self.demo[f"{role}_token"])
        self.page.get_by_role("button", name="Log in with the token").click()
        self.page.wait_for_url("**/history")

    def press(self, name: str) -> None:
        """A button, by its words."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def tab_to(self, name: str) -> None:
        """Press the tabulator until something has the focus, by its words or the name of its field; it is seen there.

        Raises ``AssertionError`` where it cannot be reached.
        """
        for _ in range(200):
            self.page.keyboard.press("Tab")
            found = self.page.evaluate(
                "[document.activeElement.textContent.trim(), document.activeElement.name || '',"
                " getComputedStyle(document.activeElement).outlineWidth]"
            )
            if name in found[:2]:
                assert found[2] == "3px", f"{name} has the focus, and nobody sees it"
                return
        raise AssertionError(f"{name} is not reached by the keyboard")

    def jobs(self, **query: str) -> list[dict[str, Any]]:
        """The jobs that the service has, newest first."""
        found: list[dict[str, Any]] = self.api.get("/api/backup/jobs", params=query).json()["jobs"]
        return found

    def quiet(self) -> None:
        """Wait until nothing runs: the demo itself takes a backup and drills it."""
        for _ in range(300):
            jobs = self.jobs()
            if any(job["kind"] == "drill" and job["requested_by"] for job in jobs) and not any(
                job["status"] in {"pending", "running"} for job in jobs
            ):
                return
            self.page.wait_for_timeout(200)
        raise AssertionError("something runs for a minute")

    def ended(self, kind: str, after: int) -> dict[str, Any]:
        """The job of a kind that was begun after another, when it has ended."""
        for _ in range(300):
            found = [job for job in self.jobs(kind=kind) if job["id"] > after]
            if found and found[0]["status"] in {"completed", "failed"}:
                return found[0]
            self.page.wait_for_timeout(200)
        raise AssertionError(f"no {kind} ended")
