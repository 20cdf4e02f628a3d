"""The command ``notify --test``."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from uuid import uuid4

from ...config.build import notify_settings
from ...notify.channels import channels, tell
from ...notify.message import test_message
from ..console import tables
from ..console.exit_codes import WARNINGS
from ..invocation import needed

if TYPE_CHECKING:
    from ..invocation import Invocation


def notify(invocation: Invocation) -> int:
    """Send a test message by every channel; exit status 8 when one of them did not take it, or there is none."""
    found = channels(needed(notify_settings(invocation.config), invocation.config, "notify", "Who is told of jobs"))
    message = test_message(invocation.limits.system or socket.gethostname(), str(uuid4()))
    sent = invocation.job(lambda _: tell(found, message), "sending")
    ok = bool(sent) and all(each.ok for each in sent)
    values = {"ok": ok, "channels": [{"channel": each.channel, "ok": each.ok, "error": each.error} for each in sent]}
    pairs = {each.channel: "sent" if each.ok else f"not sent: {each.error}" for each in sent}
    title = "Test messages" if sent else "No channel is configured in [notify]"
    return invocation.terminal.result(values, [tables.facts(title, pairs)], 0 if ok else WARNINGS)
