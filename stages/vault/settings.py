"""How to reach a vault, how to log in, and which of its folders belong to an archive."""

from __future__ import annotations

import string
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from ..errors import ConfigurationError
from .roots import Root, check_roots

__all__ = ["AppRoleAuth", "Auth", "KubernetesAuth", "Root", "TokenAuth", "UserpassAuth", "VaultSettings"]

_TOKEN_CHARACTERS = frozenset(string.ascii_letters + string.digits + string.punctuation)


@dataclass(frozen=True, slots=True)
class TokenAuth:
    """A token that somebody else made. It is renewed while it can be, and never revoked by us."""

    token: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.token or not _TOKEN_CHARACTERS.issuperset(self.token):
            raise ConfigurationError(
                "The vault token is empty or holds characters that no token has.",
                hint="Look for a line break or a blank at its end.",
            )


@dataclass(frozen=True, slots=True)
class AppRoleAuth:
    """Login by AppRole. With ``wrapped``, ``secret_id`` is a wrapping token around the real one, opened once."""

    role_id: str = field(repr=False)
    secret_id: str = field(repr=False)
    mount: str = "approle"
    wrapped: bool = False


@dataclass(frozen=True, slots=True)
class KubernetesAuth:
    """Login with a service account's token, read from ``jwt_file`` at every login because it rotates."""

    role: str
    jwt_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    mount: str = "kubernetes"


@dataclass(frozen=True, slots=True)
class UserpassAuth:
    """Login by user name and password."""

    username: str
    password: str = field(repr=False)
    mount: str = "userpass"


Auth: TypeAlias = TokenAuth | AppRoleAuth | KubernetesAuth | UserpassAuth


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """Everything a ``VaultClient`` needs. All times are seconds.

    ``request_timeout`` is for one request; a server works on one for up to 90 s, so a shorter one fails on large
    folders. ``retry_budget`` is how long nothing at all may succeed before a job gives up; ``start_budget`` the
    same for the first contact, where waiting only hides a wrong address. Pauses between attempts grow from
    ``retry_base`` to ``retry_cap``. ``workers`` is the largest number of requests at the same time.

    Raises ``ConfigurationError`` for an address that is no URL, numbers that make no sense, and roots that overlap.
    """

    address: str
    auth: Auth
    roots: tuple[Root, ...]
    namespace: str = ""
    ca_file: Path | None = None
    insecure_tls: bool = False
    workers: int = 20
    request_timeout: float = 100.0
    retry_budget: float = 60.0
    start_budget: float = 5.0
    retry_base: float = 0.25
    retry_cap: float = 10.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", _address(self.address))
        if not 1 <= self.workers <= 128:
            raise ConfigurationError(f"{self.workers} vault workers make no sense.", hint="Use 1 to 128; 20 is usual.")
        if min(self.request_timeout, self.retry_budget, self.start_budget, self.retry_base, self.retry_cap) <= 0:
            raise ConfigurationError("A vault timeout or retry time is zero or less.", hint="Use seconds above zero.")
        check_roots(self.roots)


def _address(address: str) -> str:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or port == 0:
        raise ConfigurationError(
            "The vault address is not a URL.", hint="It looks like https://openbao.example.com:8200."
        )
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(
            "The vault address holds a user name or password.", hint="Configure the login apart from the address."
        )
    return address.rstrip("/").removesuffix("/v1")
