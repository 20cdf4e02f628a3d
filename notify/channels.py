"""The channels that are configured, and sending by all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import structlog

from ..config.notifying.events import TEST
from ..stages.errors import ConfigurationError
from .channel import PATIENCE, Channel, NotSent, Sent
from .mail import Mail
from .ping import Ping
from .webhook import Webhook

if TYPE_CHECKING:
    from ..config.notifying.settings import NotifySettings
    from .message import Message
    from .others import Others

#: Characters that the secret which signs has at least.
SHORTEST_SECRET = 16


def channels(settings: NotifySettings) -> tuple[Channel, ...]:
    """The channels that are configured. Raises ``ConfigurationError``, also when apprise is not installed."""
    if settings.webhook_url and len(settings.webhook_secret) < SHORTEST_SECRET:
        raise ConfigurationError(
            f"webhook_secret in [notify] is not set, or has less than {SHORTEST_SECRET} characters.",
            hint="Make one with `openssl rand -hex 32`, and give it to the receiver too.",
        )
    if not (bool(settings.mail_to) == bool(settings.mail_host) == bool(settings.mail_from)):
        raise ConfigurationError(
            "Mail needs all of mail_host, mail_from and mail_to in [notify].", hint="Set what is missing."
        )
    events = frozenset((*settings.events, TEST))
    found: list[Channel] = []
    if settings.ping_url:
        found.append(Ping(settings.ping_url))
    if settings.webhook_url:
        found.append(Webhook(settings.webhook_url, settings.webhook_secret, events))
    if settings.mail_to:
        found.append(
            Mail(
                host=settings.mail_host,
                port=settings.mail_port,
                tls=settings.mail_tls,
                user=settings.mail_user,
                password=settings.mail_password,
                sender=settings.mail_from,
                to=settings.mail_to,
                events=events,
            )
        )
    if settings.apprise_urls:
        found.append(_others(settings.apprise_urls, events))
    return tuple(found)


def _others(addresses: str, events: frozenset[str]) -> Others:
    try:
        import apprise  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        raise ConfigurationError(
            "apprise_urls in [notify] needs a package that is not installed: apprise.",
            hint="pip install 'kleidia-backup[apprise]' brings it.",
        ) from None
    from .others import Others

    found = apprise.Apprise()
    for number, address in enumerate(addresses.split(), 1):
        if not found.add(address):
            raise ConfigurationError(
                f"Address {number} of apprise_urls in [notify] is none that apprise knows.",
                hint="Its documentation has one for each service.",
            )
    return Others(found, events)


async def attempt(channel: Channel, message: Message) -> Sent:
    """Send by one channel, in limited time. Raises nothing."""
    try:
        with anyio.fail_after(2 * PATIENCE):
            await channel.send(message)
    except NotSent as exc:
        return Sent(channel.name, exc.code, refused=exc.refused)
    except TimeoutError:
        return Sent(channel.name, "timeout")
    except Exception as exc:  # noqa: BLE001 - a message never fails a job
        structlog.get_logger("kleidia_backup.notify").error(
            "a channel failed", channel=channel.name, error=type(exc).__name__
        )
        return Sent(channel.name, "internal")
    return Sent(channel.name)


async def tell(found: tuple[Channel, ...], message: Message) -> list[Sent]:
    """Send a message by each of the channels that want it, at the same time. Raises nothing."""
    wanted = [(channel, named) for channel in found if (named := message.named(channel.wants))]
    results: dict[str, Sent] = {}

    async def one(channel: Channel, named: Message) -> None:
        results[channel.name] = await attempt(channel, named)

    async with anyio.create_task_group() as tasks:
        for channel, named in wanted:
            tasks.start_soon(one, channel, named)
    return [results[channel.name] for channel, _ in wanted]
