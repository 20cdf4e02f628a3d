"""Where notifications go, and of what."""

# Without postponed annotations: they are read when the keys are derived.
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Annotated, Literal
from urllib.parse import urlsplit

from ...stages.errors import ConfigurationError
from ...stages.setting import Setting, check_limits
from ...stages.urls import is_host
from .events import DEFAULT, EVENTS


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifySettings:
    """Where notifications go, and of what. ``repr`` shows no address: some hold the secret that lets one send.

    Raises ``ConfigurationError`` for what cannot be used.
    """

    events: Annotated[
        tuple[str, ...],
        Setting(
            "What is told by webhook, mail and apprise; docs/notifications.md lists what there is. A ping is sent for "
            "every\nbackup, whatever stands here."
        ),
    ] = DEFAULT
    ping_url: Annotated[
        str,
        Setting(
            "A check of healthchecks.io, or of what speaks its protocol: told of each backup's start, success or "
            "failure.\nIt alone notices that nothing ran at all.",
            "https://hc-ping.com/00000000-0000-0000-0000-000000000000",
            secret=True,
        ),
    ] = field(default="", repr=False)
    webhook_url: Annotated[str, Setting("Takes a POST of JSON.", "https://alerts.example.org/kleidia", secret=True)] = (
        field(default="", repr=False)
    )
    webhook_secret: Annotated[
        str,
        Setting("Signs what is sent there (HMAC-SHA-256); docs/notifications.md says how to check it.", secret=True),
    ] = field(default="", repr=False)
    mail_host: Annotated[str, Setting("Mail server.", "smtp.example.org")] = ""
    mail_port: Annotated[int, Setting("Its port.", least=1, most=65535)] = 587
    mail_tls: Annotated[
        Literal["starttls", "tls", "none"],
        Setting("How the connection is encrypted: starttls, tls (from the start, port 465), or none."),
    ] = "starttls"
    mail_user: Annotated[str, Setting("Its login, if it asks for one.", "backup")] = ""
    mail_password: Annotated[str, Setting("The password of that login.", secret=True)] = field(default="", repr=False)
    mail_from: Annotated[str, Setting("Sender.", "backup@example.org")] = ""
    mail_to: Annotated[tuple[str, ...], Setting("Those who get mail.", ("ops@example.org",))] = ()
    apprise_urls: Annotated[
        str,
        Setting(
            "Addresses of other services as apprise writes them, with blanks between them (extra `apprise`).",
            "ntfy://ntfy.example.org/backups",
            secret=True,
        ),
    ] = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be used; no address is repeated."""
        check_limits(self)
        for event in self.events:
            if event not in EVENTS:
                near = get_close_matches(event, EVENTS, 1)
                raise ConfigurationError(
                    "events in [notify] names an event that there is not.",
                    hint=f"Did you mean {near[0]}?" if near else f"There are {', '.join(EVENTS)}.",
                )
        for name in ("ping_url", "webhook_url"):
            if (url := getattr(self, name)) and not _is_url(url):
                raise ConfigurationError(
                    f"{name} in [notify] is no URL.", hint="Write https://, a host, and the rest of the address."
                )
        if self.mail_host and not is_host(self.mail_host):
            raise ConfigurationError("mail_host in [notify] is no host.", hint="Write its name, or its address.")
        if any(_breaks(each) for each in (self.mail_from, *self.mail_to)):
            raise ConfigurationError("An address in [notify] is no mail address.", hint="Write name@example.org.")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        fits = parts.scheme in {"http", "https"} and parts.port != 0 and text.isprintable()
        return fits and is_host(parts.hostname or "")
    except ValueError:
        return False


def _breaks(address: str) -> bool:
    """Whether a header could not hold it."""
    return bool(address) and ("@" not in address or not address.isprintable() or any(c in address for c in ' ,;<>"'))
