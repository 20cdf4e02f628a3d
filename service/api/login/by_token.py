"""Login by a token: somebody pastes it once, and has a session until it expires, as after any other login."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...control.logins.sessions import Sessions
from ..identity.auth import Forbidden
from ..identity.authenticators import granting
from ..identity.granting import name_of, role_values
from ..identity.tokens import subject_of

if TYPE_CHECKING:
    from ....config.service import ServiceSettings
    from ...control.database import Control
    from ..identity.granting import Granting
    from ..identity.roles import Principal
    from ..identity.tokens import JwtAuthenticator

#: Seconds without a request, and altogether, after which such a session ends where no ``[login]`` says it.
_IDLE, _LONGEST = 1800.0, 28800.0


@dataclass(frozen=True, slots=True)
class TokenLogin:
    """Takes the tokens that the API takes. ``lasts``: seconds after which a browser forgets the session."""

    tokens: JwtAuthenticator
    sessions: Sessions
    granting: Granting
    role_claim: str
    lasts: float

    async def begin(self, token: str, before: str | None) -> tuple[str, Principal]:
        """A session instead of the one ``before``, and whose it is.

        Raises ``NotAuthenticated``, ``Forbidden``, and what reading the keys and ``Control.connection`` raise.
        """
        claims = await self.tokens.claims(token)
        subject = subject_of(claims)
        name, values = name_of(claims, subject), role_values(claims, self.role_claim)
        principal = self.granting.principal(subject, name, values)
        if principal is None:
            raise Forbidden("The token gives you no role here.")
        once, ends = secrets.token_urlsafe(32), float(claims["exp"])
        session = await self.sessions.begin(once, subject, name, values, instead_of=before, ends=ends)
        assert session is not None  # nobody has used that before
        return session, principal


def token_login(config: ServiceSettings, control: Control, tokens: JwtAuthenticator) -> TokenLogin:
    """The login by tokens of a service. Sessions end when ``[login]`` says, if there is one."""
    idle, longest = (config.login.idle, config.login.longest) if config.login else (_IDLE, _LONGEST)
    sessions = Sessions(control, f"token {config.target}", idle=idle, longest=longest)
    return TokenLogin(tokens, sessions, granting(config), config.role_claim, longest)
