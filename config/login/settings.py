"""How people log in."""

# Without postponed annotations: they are read when the keys are derived.
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from ...stages.errors import ConfigurationError
from ...stages.setting import Setting, check_limits
from ...stages.urls import is_host


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginSettings:
    """The OpenID provider by which people log in. Times are seconds; ``repr`` shows no secret.

    Raises ``ConfigurationError`` for what cannot be used.
    """

    issuer: Annotated[
        str,
        Setting(
            "The issuer, exactly as it names itself; what else is needed it says at "
            "ISSUER/.well-known/openid-configuration.",
            "https://login.example.org/realms/ops",
        ),
    ] = ""
    client_id: Annotated[str, Setting("The id by which it knows this service.", "kleidia-backup")] = ""
    client_secret: Annotated[str, Setting("The secret it gave out with that id, if any.", secret=True)] = field(
        default="", repr=False
    )
    public_url: Annotated[
        str,
        Setting(
            "Where people reach this service. The provider must know PUBLIC_URL/login/callback. Without it: as the\n"
            "request says, which behind a proxy needs forwarded_allow_ips in [service].",
            "https://backup.example.org",
        ),
    ] = ""
    scopes: Annotated[tuple[str, ...], Setting("What is asked for; openid always is.")] = (
        "openid",
        "profile",
        "email",
    )
    role_claim: Annotated[
        str,
        Setting(
            "The claim of the ID token that holds a person's role or roles; dots lead into objects. What its values "
            "mean,\nadmin_roles and the like in [service] say. Without it: role_claim in [service].",
            "groups",
        ),
    ] = ""
    idle: Annotated[float, Setting("Time without a request after which somebody is logged out.", most=86400)] = 1800.0
    longest: Annotated[
        float, Setting("Time after which somebody must log in again, whatever he does.", most=7 * 86400)
    ] = 28800.0

    def __post_init__(self) -> None:
        """Refuse what cannot be used; no value is repeated."""
        check_limits(self)
        if not self.issuer or not self.client_id:
            raise ConfigurationError(
                "issuer or client_id in [login] is not set.", hint="The provider gives out both; or leave [login] out."
            )
        for name in ("issuer", "public_url"):
            if (url := getattr(self, name)) and not is_safe_url(url):
                raise ConfigurationError(
                    f"{name} in [login] is no https URL without a query.", hint="Write https://, a host and a path."
                )
        if any(not each or not each.isascii() or not each.isprintable() or " " in each for each in self.scopes):
            raise ConfigurationError("scopes in [login] holds what is no scope.", hint="Scopes are single words.")


def is_safe_url(url: str) -> bool:
    """Whether it is https, or http to this machine, with nothing behind its path."""
    try:
        parts = urlsplit(url)
        fits = (
            is_host(parts.hostname or "") and parts.port != 0 and url.isascii() and url.isprintable() and " " not in url
        )
    except ValueError:
        return False
    if not fits or parts.username is not None or parts.query or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
