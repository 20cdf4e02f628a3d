"""People who have two pages open, without a browser each: what those pages' script asks for, and when it stops."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import aiohttp

#: A part of a page that asks for itself again, and at which address.
_ASKS = re.compile(r'hx-get="([^"]+)" hx-trigger="every 1s"')
#: Seconds between an answer and the next question, and the status after which there is none.
_EVERY, _ENDED = 1.0, 286
#: Seconds between two people who come, and how many connections a browser opens to one server.
_APART, _CONNECTIONS = 0.01, 6


@dataclass
class Viewers:
    """What they were answered: how often each status, each path how often; what each sees last of each path.

    ``watching`` are pages that go on asking.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    seen: dict[tuple[str, str], str] = field(default_factory=dict)
    watching: int = 0


@dataclass(frozen=True)
class _Answer:
    status: int
    text: str
    event: str


@contextmanager
def viewing(url: str, cookies: list[str], paths: tuple[str, ...]) -> Iterator[Viewers]:
    """Each cookie is a viewer's, who opens all ``paths`` and looks at them until left; in a thread of its own."""
    viewers, left = Viewers(), threading.Event()

    async def everybody() -> None:
        people = []
        for cookie in cookies:
            people.append(asyncio.create_task(_view(url, cookie, paths, viewers)))
            await asyncio.sleep(_APART)
        await asyncio.to_thread(left.wait)
        for person in people:
            person.cancel()
        await asyncio.gather(*people, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(everybody()))
    thread.start()
    try:
        yield viewers
    finally:
        left.set()
        thread.join()


async def _view(url: str, cookie: str, paths: tuple[str, ...], viewers: Viewers) -> None:
    """One person: a browser with its own connections, which opens one page after the other."""
    connections = aiohttp.TCPConnector(limit_per_host=_CONNECTIONS)
    headers = {"Cookie": cookie, "Sec-Fetch-Site": "same-origin"}
    async with aiohttp.ClientSession(
        url, connector=connections, cookie_jar=aiohttp.DummyCookieJar(), headers=headers
    ) as browser:
        shown = [(path, await _ask(browser, path, viewers)) for path in paths]
        async with asyncio.TaskGroup() as pages:
            for path, first in shown:
                pages.create_task(_look(browser, cookie, path, first, viewers))


async def _look(browser: aiohttp.ClientSession, cookie: str, path: str, first: _Answer, viewers: Viewers) -> None:
    """One page: its part is asked for again and again; when what it shows has ended, the page is loaded once more."""
    answer = first
    viewers.watching += 1
    while asks := _ASKS.search(answer.text):
        await asyncio.sleep(_EVERY)
        answer = await _ask(browser, asks[1], viewers, part=True)
        if answer.status == _ENDED and answer.event == "ended":
            answer = await _ask(browser, path, viewers)
        viewers.seen[cookie, path] = answer.text
    viewers.watching -= 1


async def _ask(browser: aiohttp.ClientSession, path: str, viewers: Viewers, *, part: bool = False) -> _Answer:
    try:
        headers = {"HX-Request": "true"} if part else {}
        async with browser.get(path, headers=headers, allow_redirects=False) as answer:
            text = await answer.text()
    except aiohttp.ClientError as exc:
        viewers.errors.append(f"{path}: {exc!r}")
        raise
    viewers.statuses[answer.status] += 1
    viewers.asked[path] += 1
    return _Answer(answer.status, text, answer.headers.get("HX-Trigger", ""))
