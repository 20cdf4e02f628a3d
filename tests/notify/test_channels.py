"""Each channel against a real server of its kind, and what is said when it does not take a message."""

from __future__ import annotations

import hashlib
import hmac
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from threading import Event, Thread
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from kleidia_backup.config.notifying.events import DEFAULT, EVENTS
from kleidia_backup.config.notifying.settings import NotifySettings
from kleidia_backup.notify.channel import Sent
from kleidia_backup.notify.channels import channels, tell
from kleidia_backup.notify.message import Message, shortened
from kleidia_backup.stages.errors import ConfigurationError

from ..receiving import Receiver, receiving

pytestmark = pytest.mark.anyio

SECRET = "canary-of-the-webhook-secret"
FAILED = Message(
    id="8a5c.backup.failed",
    events=("backup.failed",),
    target="app",
    at=datetime(2026, 1, 5, 2, 0, tzinfo=UTC),
    run="0190c2b2-0000-7000-8000-000000000001",
    facts={"job": 7, "error": "The store is full.", "next_step": "Free some space.", "archive": None},
)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


class Mailbox:
    """A mail server that remembers what it took, and knows one login."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.refused = ""

    async def handle_RCPT(  # noqa: N802 - as the library has it
        self, _: Any, __: Any, envelope: Any, address: str, ___: Any
    ) -> str:
        if address == self.refused:
            return "550 canary-of-a-server: no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:  # noqa: N802 - likewise
        self.taken.append((envelope.rcpt_tos, message_from_bytes(envelope.content, policy=policy.default)))
        return "250 OK"

    def authenticator(self, _: Any, __: Any, ___: Any, ____: Any, data: object) -> AuthResult:
        assert isinstance(data, LoginPassword)
        return AuthResult(success=data.password == b"right")


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=0, authenticator=box.authenticator, auth_require_tls=False)
    # port=0: the library asks the listening socket only after it has tried to connect to that port.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        controller.port = free.getsockname()[1]
    controller.start()
    try:
        yield box, controller.port
    finally:
        controller.stop()


def mail(port: int, **changes: Any) -> NotifySettings:
    given: dict[str, Any] = {
        "mail_host": "127.0.0.1",
        "mail_port": port,
        "mail_tls": "none",
        "mail_from": "backup@example.org",
        "mail_to": ("ops@example.org", "dba@example.org"),
    }
    return NotifySettings(**(given | changes))


async def test_a_webhook_is_signed(receiver: Receiver) -> None:
    """JSON with everything, and a signature over the time and the body, as docs/notifications.md has it checked."""
    found = channels(NotifySettings(webhook_url=f"{receiver.url}/hook", webhook_secret=SECRET))
    assert await tell(found, FAILED) == [Sent("webhook")]
    (request,) = receiver.requests
    assert request.json == {
        "id": "8a5c.backup.failed",
        "event": "backup.failed",
        "target": "app",
        "at": "2026-01-05T02:00:00+00:00",
        "run": FAILED.run,
        "facts": dict(FAILED.facts),
    }
    assert Message.of(request.json) == FAILED
    moment, _, given = request.headers["X-Kleidia-Signature"].partition(",v1=")
    signed = f"{moment.removeprefix('t=')}.".encode() + request.body
    assert hmac.compare_digest(given, hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest())
    assert SECRET not in repr(found) + str(request)


async def test_pings_are_a_backups(receiver: Receiver) -> None:
    """Start, success, failure and log, with the run's id; of a restore nothing, for the check is the backup's."""
    found = channels(NotifySettings(ping_url=f"{receiver.url}/uuid?create=1"))
    for events in (
        ("backup.started",),
        ("backup.recovered", "backup.warning", "backup.completed"),
        ("backup.failed",),
        ("test",),
        ("restore.failed",),
        ("settings.changed",),
    ):
        await tell(found, replace(FAILED, events=events))
    assert receiver.paths == ["/uuid/start", "/uuid", "/uuid/fail", "/uuid/log"]
    assert {each.path.partition("?")[2] for each in receiver.requests} == {f"create=1&rid={FAILED.run}"}
    assert b"error: The store is full.\nnext step: Free some space.\n" in receiver.requests[2].body


async def test_a_channel_tells_what_was_chosen(receiver: Receiver) -> None:
    """By the most telling name that was chosen, once."""
    for chosen, told in (
        (DEFAULT, ["backup.recovered"]),
        (("backup.completed",), ["backup.completed"]),
        (("backup.warning", "backup.completed"), ["backup.warning"]),
        ((), []),
    ):
        receiver.requests.clear()
        settings = NotifySettings(webhook_url=receiver.url, webhook_secret=SECRET, events=chosen)
        await tell(
            channels(settings), replace(FAILED, events=("backup.recovered", "backup.warning", "backup.completed"))
        )
        assert receiver.events == told


async def test_mail(mailbox: tuple[Mailbox, int]) -> None:
    """Plain text to all, with an id that stays the same."""
    box, port = mailbox
    assert await tell(channels(mail(port)), FAILED) == [Sent("mail")]
    ((to, taken),) = box.taken
    assert to == ["ops@example.org", "dba@example.org"]
    assert (taken["Subject"], taken["From"]) == ("[kleidia-backup] app: A backup failed", "backup@example.org")
    assert taken["Message-ID"] == "<8a5c.backup.failed@kleidia-backup.invalid>"
    assert "error: The store is full." in taken.get_content()


async def test_texts_of_strangers(mailbox: tuple[Mailbox, int], receiver: Receiver) -> None:
    """Line breaks, control characters, what is no Unicode, no end: every channel takes it, and no line is forged."""
    box, port = mailbox
    error = "x\r\nstatus: fine\0\x1b[31m\u2028\udcff" + "long " * 1000
    message = replace(FAILED, target="app\r\nBcc: eve@example.org", facts={"error": shortened(error)})
    where = {"ping_url": receiver.url, "webhook_url": receiver.url, "webhook_secret": SECRET}
    assert all(each.ok for each in await tell(channels(mail(port, **where)), message))
    ((to, taken),) = box.taken
    assert (len(to), taken["Bcc"]) == (2, None)
    ping, webhook = sorted(receiver.requests, key=lambda each: len(each.headers))
    for text in (taken.get_content(), ping.body.decode()):
        assert "\nerror: x status: fine\\x00\\x1b[31m \\udcfflong" in text
        assert len(text.splitlines()) == 5
    assert webhook.json["facts"] == message.facts


async def test_mail_with_a_login(mailbox: tuple[Mailbox, int]) -> None:
    """The right one, a wrong one, a mailbox that there is not, and a server without TLS where it is wanted."""
    box, port = mailbox
    for changes, expected in (
        ({"mail_user": "u", "mail_password": "right"}, ""),
        ({"mail_user": "u", "mail_password": "canary-wrong"}, "login"),
        ({"mail_tls": "starttls"}, "tls"),
    ):
        assert await tell(channels(mail(port, **changes)), FAILED) == [Sent("mail", expected)]
    box.refused = "dba@example.org"
    assert await tell(channels(mail(port, mail_to=("dba@example.org",))), FAILED) == [Sent("mail", "refused")]


async def test_what_does_not_answer(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A code for each, none of what a server said; no redirect is followed, and nothing is raised."""

    async def code(url: str) -> str:
        (sent,) = await tell(channels(NotifySettings(webhook_url=url, webhook_secret=SECRET)), FAILED)
        return sent.error

    for status in (301, 307, 404, 500):
        receiver.status = status
        assert await code(receiver.url) == f"http_{status}"
    assert receiver.paths == ["/"] * 4
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setattr("kleidia_backup.notify.posting.PATIENCE", 0.2)
        assert await code(f"http://127.0.0.1:{port}") == "timeout"
    assert await code(f"http://127.0.0.1:{port}") == "unreachable"
    assert await code(receiver.url.replace("http:", "https:")) in {"tls", "unreachable"}
    assert await tell(channels(mail(port)), FAILED) == [Sent("mail", "unreachable")]


#: Sends one message to a server at a port, and ends.
_SENDS = """
import sys, anyio, warnings
from kleidia_backup.config.notifying.settings import NotifySettings
from kleidia_backup.notify import channels
from kleidia_backup.notify.message import test_message
warnings.simplefilter("ignore")
channels.PATIENCE = 0.1
at = {"mail_host": "127.0.0.1", "mail_port": int(sys.argv[1]), "mail_from": "a@b", "mail_to": ("c@d",)}
found = channels.channels(NotifySettings(apprise_urls=f"json://127.0.0.1:{sys.argv[1]}", **at))
print(*(each.error for each in anyio.run(channels.tell, found, test_message("app", "1"))))
"""


def test_a_server_that_is_endlessly_slow_holds_up_no_process() -> None:
    """It never ends its first line, and is never silent for long: the message is given up, and the process ends."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        done = Event()

        def answer() -> None:
            taken = []
            listening.settimeout(0.05)
            while not done.is_set():
                with suppress(TimeoutError):
                    taken.append(listening.accept()[0])
                for each in taken:
                    with suppress(OSError):
                        each.send(b"2")
            for each in taken:
                each.close()

        thread = Thread(target=answer)
        thread.start()
        command = [sys.executable, "-c", _SENDS, str(listening.getsockname()[1])]
        try:
            ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        finally:
            done.set()
            thread.join()
    assert ended.stdout.split() == ["timeout", "timeout"], ended


async def test_a_channel_with_a_bug_is_no_failure(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    """Whatever a channel raises, the others tell."""

    async def bug(*_: object) -> None:
        raise ssl.SSLError("canary")

    monkeypatch.setattr("kleidia_backup.notify.ping.post", bug)
    settings = NotifySettings(ping_url=receiver.url, webhook_url=receiver.url, webhook_secret=SECRET)
    assert await tell(channels(settings), FAILED) == [Sent("ping", "internal"), Sent("webhook")]


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # apprise's own import
async def test_apprise(receiver: Receiver) -> None:
    """An address of apprise's own kind for JSON; its server that refuses."""
    address = receiver.url.replace("http:", "json:")
    found = channels(NotifySettings(apprise_urls=f"{address}/a {address}/b"))
    assert await tell(found, FAILED) == [Sent("apprise")]
    assert sorted(receiver.paths) == ["/a", "/b"]
    assert receiver.requests[0].json["title"] == "[kleidia-backup] app: A backup failed"
    receiver.status = 500
    assert await tell(found, FAILED) == [Sent("apprise", "refused")]
    with pytest.raises(ConfigurationError, match="Address 2 of apprise_urls"):
        channels(NotifySettings(apprise_urls="json://127.0.0.1 nothing"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"events": ("backup.fialed",)}, "an event that there is not"),
        ({"ping_url": "hc-ping.com/canary"}, "ping_url in .notify. is no URL"),
        ({"ping_url": f"https://{'canary' * 11}.example"}, "ping_url in .notify. is no URL"),
        ({"mail_host": f"{'canary' * 11}.example", "mail_from": "a@b"}, "mail_host in .notify. is no host"),
        ({"ping_url": "file:///canary"}, "ping_url in .notify. is no URL"),
        ({"webhook_url": "https://canary", "webhook_secret": "short"}, "webhook_secret in .notify. is not set, or"),
        ({"mail_to": ("a@b",)}, "Mail needs all of"),
        ({"mail_host": "h", "mail_from": "a@b", "mail_to": ("a@b\nBcc: canary@c",)}, "no mail address"),
        ({"mail_port": 0}, "mail_port cannot be 0"),
    ],
)
def test_what_cannot_be_used(given: dict[str, Any], words: str) -> None:
    """Refused at once, with no address in the message."""
    with pytest.raises(ConfigurationError, match=words) as refused:
        channels(NotifySettings(**given))
    assert "canary" not in str(refused.value)
    assert refused.value.hint


def test_the_page_lists_every_event() -> None:
    """docs/notifications.md has each event, and whether it is told by default."""
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs/notifications.md").read_text(encoding="utf-8")
    for event in EVENTS:
        line = next(line for line in text.splitlines() if line.startswith(f"| `{event}`"))
        assert ("| yes |" in line) == (event in DEFAULT), event
