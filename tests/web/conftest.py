"""A browser at the page: of ``serve --demo``, or of a service on the tests' servers; either is a process of its own.

The set needs Chromium (``KLEIDIA_TEST_CHROMIUM``, or ``chromium`` on PATH) and the extra ``web-test``. Where one of
them is missing it is not run, and says so; with ``KLEIDIA_TEST_BROWSER_REQUIRED`` it fails then. ``.ci/run`` installs
them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from kleidia_backup.demo.servers.together import OpenBaoServer, PostgresServer, S3Server

from ..service.serving import serving
from .browsers import CHROMIUM, MISSING, OPTIONS
from .sight import Sight
from .site import Site, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip them aloud where there is no browser."""
    if MISSING and not os.environ.get("KLEIDIA_TEST_BROWSER_REQUIRED"):
        for item in items:
            if "tests/web/" in item.nodeid:
                item.add_marker(
                    pytest.mark.skip(reason=f"NOT RUN: the page's browser tests need {' and '.join(MISSING)}")
                )


@pytest.fixture(scope="session")
def demo() -> Iterator[dict[str, str]]:
    """A service, and what it says when it is ready: its URL, tokens and password."""
    with serving("--demo", "--port", "0") as (_, told):
        yield told


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser, without a window. Its library runs an event loop in this thread, which no other test could bear."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def sight(chromium: Browser, demo: dict[str, str]) -> Iterator[Sight]:
    """A person at the page, who is not logged in."""
    with Sight.opened(chromium, demo) as opened:
        yield opened


@pytest.fixture(scope="module")
def site(
    postgres_server: PostgresServer,
    openbao_server: OpenBaoServer,
    rclone_server: S3Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """A service for the tests of one module: an application, a vault, a store behind a gate, a receiver of messages."""
    with running(postgres_server, openbao_server, rclone_server, tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture
def person(chromium: Browser, site: Site) -> Iterator[Sight]:
    """An administrator at its page, when nothing runs."""
    site.idle()
    with Sight.opened(chromium, site.told) as opened:
        opened.log_in()
        yield opened
