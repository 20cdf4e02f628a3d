"""Login, renewal and revocation with hvac: blocking calls, meant for a thread, one at a time."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from urllib.parse import quote

import hvac  # type: ignore[import-untyped]  # it ships no types
import requests  # type: ignore[import-untyped, unused-ignore]  # typed since 2.34; hvac uses it
import urllib3
from hvac import exceptions as hvac_errors

from ...errors import ConfigurationError, VaultForbidden, VaultSealed
from .backoff import Trouble
from .settings import AppRoleAuth, KubernetesAuth, TokenAuth, UserpassAuth, VaultSettings
from .troubles import check_tls

#: Most seconds for a connection and for an answer: login and renewal are quick or broken, and a thread that waits
#: for one outlives a cancellation.
_TIMEOUT = (5.0, 15.0)


@dataclass(frozen=True, slots=True)
class Grant:
    """A token, what it still lives (``lease`` seconds from ``since`` on our clock; 0 for ever), what it allows.

    ``uses`` are the requests that it may be sent with; 0 without a limit.
    """

    token: str = field(repr=False)
    lease: float
    renewable: bool
    revocable: bool
    since: float
    uses: int = 0


class Logins:
    """The calls about tokens. Each gives its result, or ``Trouble`` that may pass, or raises a ``VaultError``."""

    def __init__(self, settings: VaultSettings) -> None:
        self._address = settings.address
        self._auth = settings.auth
        self._insecure = settings.insecure_tls
        self._unwrapped = ""
        verify = not settings.insecure_tls and _authorities(settings)
        self._session = requests.Session()
        self._session.verify = verify
        self._session.trust_env = False  # neither ~/.netrc nor a proxy that the hot path does not use
        self._options = {
            "url": settings.address,
            "cert": (),
            "verify": verify,
            "timeout": tuple(min(seconds, settings.request_timeout) for seconds in _TIMEOUT),
            "allow_redirects": False,
            "session": self._session,
            "namespace": settings.namespace or None,
        }

    def login(self) -> Grant | Trouble:
        """Log in. Raises ``VaultForbidden`` when it is refused, ``ConfigurationError`` for an unreadable JWT file."""
        auth = self._auth
        match auth:
            case TokenAuth():
                raise VaultForbidden(
                    f"The vault at {self._address} does not take the configured token: it is unknown, expired or "
                    "revoked.",
                    hint="Configure a new token, or a login that can be repeated, such as AppRole.",
                )
            case AppRoleAuth():
                return self._approle(auth)
            case UserpassAuth():
                name = quote(auth.username, safe="")
                return self._grant(lambda client: client.auth.userpass.login(name, auth.password, False, auth.mount))
            case KubernetesAuth():
                jwt = _read_jwt(auth)
                return self._grant(lambda client: client.auth.kubernetes.login(auth.role, jwt, False, auth.mount))

    def _approle(self, auth: AppRoleAuth) -> Grant | Trouble:
        secret_id = auth.secret_id
        if auth.wrapped:
            if not self._unwrapped:
                unwrapped = self._unwrap(auth)
                if isinstance(unwrapped, Trouble):
                    return unwrapped
                self._unwrapped = unwrapped
            secret_id = self._unwrapped
        return self._grant(lambda client: client.auth.approle.login(auth.role_id, secret_id, False, auth.mount))

    def _unwrap(self, auth: AppRoleAuth) -> str | Trouble:
        try:
            answer = self._call(lambda client: client.sys.unwrap(), auth.secret_id)
            return answer if isinstance(answer, Trouble) else str(answer["data"]["secret_id"])
        except (VaultForbidden, KeyError, TypeError):
            raise VaultForbidden(
                f"The vault at {self._address} does not unwrap the AppRole secret id: its wrapping token is wrong, "
                "expired, or was used before.",
                hint="Make a new one; if nobody of yours used this one, somebody else holds the secret id: revoke it.",
            ) from None

    def _grant(self, login: Callable[[Any], Any]) -> Grant | Trouble:
        since = monotonic()
        answer = self._call(login)
        return answer if isinstance(answer, Trouble) else self._read(answer, since)

    def renew(self, token: str) -> Grant | Trouble:
        """Renew a token. Raises ``VaultForbidden`` when it cannot be renewed any more."""
        since = monotonic()
        answer = self._call(lambda client: client.auth.token.renew_self(), token)
        return answer if isinstance(answer, Trouble) else self._read(answer, since)

    def _read(self, answer: Any, since: float) -> Grant | Trouble:
        try:
            auth = answer["auth"]
            return Grant(
                token=str(auth["client_token"]),
                lease=float(auth["lease_duration"]),
                renewable=bool(auth["renewable"]),
                revocable=auth.get("token_type") != "batch",
                since=since,
                uses=int(auth.get("num_uses") or 0),
            )
        except (KeyError, TypeError, ValueError):
            return Trouble("error", "answers a login with something that is no token")

    def lookup(self, token: str) -> Grant | Trouble:
        """What a token is. Raises ``VaultForbidden`` when it may not ask, or is not valid."""
        since = monotonic()
        answer = self._call(lambda client: client.auth.token.lookup_self(), token)
        if isinstance(answer, Trouble):
            return answer
        try:
            data = answer["data"]
            uses = int(data.get("num_uses") or 0)
            return Grant(token, float(data["ttl"]), bool(data.get("renewable")), False, since, uses)
        except (KeyError, TypeError, ValueError):
            return Trouble("error", "answers with something that is no token")

    def revoke(self, token: str) -> None:
        """Revoke a token; a failure does not matter, since it expires by itself."""
        try:
            self._call(lambda client: client.auth.token.revoke_self(), token)
        except (VaultForbidden, VaultSealed):
            return

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _call(self, function: Callable[[Any], Any], token: str = "") -> Any:
        answer = self._exchange(function, token)
        if getattr(answer, "status_code", 200) in {307, 473}:  # hvac gives the response itself, for it is no JSON
            return Trouble("standby", "is a standby and redirects to the active server")
        return answer

    def _exchange(self, function: Callable[[Any], Any], token: str) -> Any:
        try:
            with warnings.catch_warnings():
                if self._insecure:  # asked for; a warning at every login does not help
                    warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
                # A client for each call: it keeps state. No token is "", for None means VAULT_TOKEN or ~/.vault-token.
                return function(hvac.Client(token=token, **self._options))
        except hvac_errors.RateLimitExceeded:
            return Trouble("busy", "answers 429, too many requests", limited=True)
        except hvac_errors.VaultDown as exc:
            # text of hvac: one class stands for every 503.
            return Trouble("sealed" if "sealed" in str(exc) else "busy", "answers 503")
        except hvac_errors.VaultNotInitialized:
            raise VaultSealed(
                f"The vault at {self._address} is not initialised.", hint="Initialise and unseal it first."
            ) from None
        except (
            hvac_errors.InvalidRequest,
            hvac_errors.Unauthorized,
            hvac_errors.Forbidden,
            hvac_errors.InvalidPath,
        ) as exc:
            raise self._refused(", ".join(exc.errors or ())[:300]) from None
        except hvac_errors.VaultError:
            return Trouble("error", "answers a login with a server error")
        except requests.Timeout:
            return Trouble("unreachable", "no answer in time")
        except requests.RequestException as exc:
            check_tls(self._address, str(exc))
            return Trouble("unreachable", "no connection for a login")

    def _refused(self, why: str) -> VaultForbidden:
        auth = self._auth
        if isinstance(auth, TokenAuth):
            return VaultForbidden(
                f"The vault at {self._address} refuses the token: {why or 'no reason given'}.",
                hint="It is unknown, expired or revoked, or its policies allow nothing of this.",
            )
        hint = {
            AppRoleAuth: "Check the role id, the secret id (its uses and lifetime too), and where AppRole is mounted.",
            UserpassAuth: "Check the user name, the password, and where userpass is mounted.",
            KubernetesAuth: "Check the role, its bound service account, and where the Kubernetes login is mounted.",
        }[type(auth)]
        return VaultForbidden(
            f"The vault at {self._address} refuses the login at auth/{auth.mount}: {why or 'no reason given'}.",
            hint=hint,
        )


def _authorities(settings: VaultSettings) -> str | bool:
    """Where trusted CAs are: the same as for aiohttp, since requests would bring a list of its own."""
    if settings.ca_file:
        return str(settings.ca_file)
    paths = ssl.get_default_verify_paths()
    return paths.cafile or paths.capath or True


def _read_jwt(auth: KubernetesAuth) -> str:
    try:
        return auth.jwt_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(
            f"The service account token {auth.jwt_file} cannot be read.",
            hint="Run inside a pod with a service account, or configure another file.",
        ) from None
