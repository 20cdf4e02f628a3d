"""A test of the notifications. Where they go is the configuration's to say: no request can."""

from typing import Literal

from pydantic import BaseModel

from .. import rates
from ..identity.callers import MayTestNotifications
from .shared import TheService, problems, router_of

router = router_of("/api/backup/notifications", "notifications")


class Notified(BaseModel):
    """What became of a test message by one channel; ``error`` is a code, such as ``timeout`` or ``http_404``."""

    channel: Literal["ping", "webhook", "mail", "apprise"]
    ok: bool
    error: str = ""


class NotificationTest(BaseModel):
    """Whether a test message was sent by every channel that is configured; none is no success."""

    ok: bool
    channels: list[Notified]


@router.post("/test", responses=problems(429))
async def test_notifications(service: TheService, caller: MayTestNotifications) -> NotificationTest:
    """Send a test message by every channel that is configured, now and once."""
    await rates.take(service, "test-notifications", caller)
    sent = [
        Notified.model_validate({"channel": each.channel, "ok": each.ok, "error": each.error})
        for each in await service.notifier.test()
    ]
    return NotificationTest(ok=bool(sent) and all(each.ok for each in sent), channels=sent)
