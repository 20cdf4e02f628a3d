"""Mail, by the standard library, in a thread of its own."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import format_datetime
from functools import partial
from typing import TYPE_CHECKING, Literal

from .aside import Aside
from .channel import PATIENCE, NotSent

if TYPE_CHECKING:
    from .message import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """Plain text to some people."""

    host: str
    port: int
    tls: Literal["starttls", "tls", "none"]
    user: str
    password: str = field(repr=False)
    sender: str
    to: tuple[str, ...]
    events: frozenset[str]
    name: str = "mail"
    _aside: Aside = field(default_factory=Aside, repr=False, compare=False)

    def wants(self, event: str) -> bool:
        """What was chosen."""
        return event in self.events

    async def send(self, message: Message) -> None:
        """Send it. Raises ``NotSent``: ``timeout``, ``tls``, ``unreachable``, ``login`` or ``refused``."""
        await self._aside.run(partial(self._send, self._written(message)))

    def _written(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = message.subject
        mail["From"], mail["To"] = self.sender, ", ".join(self.to)
        mail["Date"] = format_datetime(message.at)
        mail["Message-ID"] = f"<{message.id}@kleidia-backup.invalid>"  # the same when it is sent again
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text())
        return mail

    def _login(self, server: smtplib.SMTP) -> None:
        try:
            server.login(self.user, self.password)
        except (smtplib.SMTPAuthenticationError, smtplib.SMTPServerDisconnected):  # some hang up after a wrong one
            raise NotSent("login") from None

    def _send(self, mail: EmailMessage) -> None:
        context = ssl.create_default_context()
        try:
            if self.tls == "tls":
                server: smtplib.SMTP = smtplib.SMTP_SSL(self.host, self.port, timeout=PATIENCE, context=context)
            else:
                server = smtplib.SMTP(self.host, self.port, timeout=PATIENCE)
            with server:
                if self.tls == "starttls":
                    server.starttls(context=context)
                if self.user:
                    self._login(server)
                server.send_message(mail)
        except ssl.SSLError:
            raise NotSent("tls") from None
        except TimeoutError:
            raise NotSent("timeout") from None
        except smtplib.SMTPNotSupportedError:
            raise NotSent("tls" if self.tls == "starttls" else "login") from None
        except (smtplib.SMTPConnectError, smtplib.SMTPServerDisconnected):
            raise NotSent("unreachable") from None
        except smtplib.SMTPException:
            raise NotSent("refused") from None
        except OSError:
            raise NotSent("unreachable") from None
