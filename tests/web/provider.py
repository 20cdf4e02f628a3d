"""An OpenID provider for people before a browser, and what a service is told of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from ..service.openid import CLIENT, SECRET, OpenId, open_id

#: What stands in the configuration behind [service]. The provider's groups are roles, those of tokens as everywhere.
_LOGIN = """
admin_roles = ["admin", "keepers"]
operator_roles = ["operator", "ops"]
[login]
issuer = "{issuer}"
client_id = "{client}"
client_secret = "{secret}"
role_claim = "realm.groups"
"""


@contextmanager
def at_a_provider() -> Iterator[OpenId]:
    """One that shows its page, with a loop in a thread of its own: the browser's library has this thread's."""
    made: list[OpenId] = []
    ready, ended = threading.Event(), threading.Event()

    async def run() -> None:
        async with open_id() as provider:
            provider.shows = True
            made.append(provider)
            ready.set()
            await anyio.to_thread.run_sync(ended.wait)

    thread = threading.Thread(target=lambda: anyio.run(run), daemon=True)
    thread.start()
    try:
        assert ready.wait(30)
        yield made[0]
    finally:
        ended.set()
        thread.join()


def login_at(provider: OpenId) -> str:
    """What stands at the end of the configuration of a service whose people log in there."""
    return _LOGIN.format(issuer=provider.issuer, client=CLIENT, secret=SECRET)
