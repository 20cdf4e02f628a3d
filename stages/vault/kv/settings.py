"""How to reach a vault, how to log in, and which of its folders belong to an archive."""

from __future__ import annotations

import string
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from ...errors import ConfigurationError
from ...setting import Setting, check_limits
from ...urls import is_server_url
from .roots import Root, check_roots, owns

__all__ = ["AppRoleAuth", "Auth", "KubernetesAuth", "Root", "TokenAuth", "UserpassAuth", "VaultSettings"]

_MOUNT = Setting("Where the method is mounted, if not under its own name.")
_TOKEN_CHARACTERS = frozenset(string.ascii_letters + string.digits + string.punctuation)


@dataclass(frozen=True, slots=True)
class TokenAuth:
    """A token from elsewhere. It is renewed while it can be, and never revoked."""

    token: Annotated[
        str,
        Setting(
            "method token: the token. It is renewed while a job runs.",
            "s.0000000000000000",
            secret=True,
            standard=("BAO_TOKEN", "VAULT_TOKEN"),
        ),
    ] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.token or not _TOKEN_CHARACTERS.issuperset(self.token):
            raise ConfigurationError(
                "The vault token is empty or holds characters that no token has.",
                hint="Look for a line break or a blank at its end.",
            )


@dataclass(frozen=True, slots=True)
class AppRoleAuth:
    """Login by AppRole. With ``wrapped``, ``secret_id`` is a wrapping token around the real one, opened once."""

    role_id: Annotated[str, Setting("method approle: the role id.", "6f0c…", file=True, shown=True)] = field(repr=False)
    secret_id: Annotated[str, Setting("method approle: the secret id.", secret=True, shown=True)] = field(repr=False)
    mount: Annotated[str, _MOUNT] = "approle"
    wrapped: Annotated[bool, Setting("method approle: secret_id is a wrapping token around the real one.")] = False


@dataclass(frozen=True, slots=True)
class KubernetesAuth:
    """Login with a service account's token, read from ``jwt_file`` at every login because it rotates."""

    role: Annotated[str, Setting("method kubernetes: the role.", "backup")]
    jwt_file: Annotated[Path, Setting("method kubernetes: the service account's token.")] = Path(
        "/var/run/secrets/kubernetes.io/serviceaccount/token"
    )
    mount: Annotated[str, _MOUNT] = "kubernetes"


@dataclass(frozen=True, slots=True)
class UserpassAuth:
    """Login by user name and password."""

    username: Annotated[str, Setting("method userpass: the user.", "backup")]
    password: Annotated[str, Setting("method userpass: the password.", secret=True)] = field(repr=False)
    mount: Annotated[str, _MOUNT] = "userpass"


Auth: TypeAlias = TokenAuth | AppRoleAuth | KubernetesAuth | UserpassAuth
Method: TypeAlias = Literal["token", "approle", "kubernetes", "userpass"]
METHODS: dict[Method, type[Auth]] = {
    "token": TokenAuth,
    "approle": AppRoleAuth,
    "kubernetes": KubernetesAuth,
    "userpass": UserpassAuth,
}


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """Everything a ``VaultClient`` needs. All times are seconds.

    ``own`` are the places that the product itself needs: a secret as ``mount/path``, a folder with all that is in it as
    ``mount/path/``. They are in no archive, and a restore neither writes nor removes them.

    Raises ``ConfigurationError`` for an address that is no URL, a namespace that no header can hold, numbers that make
    no sense, roots that overlap, and a root among the product's own places.
    """

    address: Annotated[
        str,
        Setting(
            "Address of the server.",
            "https://openbao.example.org:8200",
            shown=True,
            standard=("BAO_ADDR", "VAULT_ADDR"),
        ),
    ]
    auth: Auth
    roots: Annotated[
        tuple[Root, ...],
        Setting(
            "The folders to back up: a KV mount, a path in it (all of the mount when left out), and the prefix that "
            "its\nsecrets have in the archive. kv_version (1 or 2) is asked of the server unless given.\n"
            "A backup refuses a root without any secret, for its path may be wrong, unless it has allow_empty = true.\n"
            "In the environment as JSON",
            shown=True,
        ),
    ]
    namespace: Annotated[
        str, Setting("Namespace, if any.", "team/app", standard=("BAO_NAMESPACE", "VAULT_NAMESPACE"))
    ] = ""
    ca_file: Annotated[
        Path | None,
        Setting(
            "PEM file of the server's CA, where it is none of the system's.",
            "/etc/kleidia-backup/vault-ca.pem",
            standard=("BAO_CACERT", "VAULT_CACERT"),
        ),
    ] = None
    insecure_tls: Annotated[
        bool,
        Setting(
            "Do not verify the server's certificate: only for testing.",
            standard=("BAO_SKIP_VERIFY", "VAULT_SKIP_VERIFY"),
        ),
    ] = False
    workers: Annotated[int, Setting("Requests at the same time, at most.", least=1, most=128)] = 20
    adaptive: Annotated[
        bool,
        Setting(
            "Whether fewer are under way while the server's answers get slower, so that others wait less.\n"
            "A restore is not slowed by that."
        ),
    ] = False
    max_rate: Annotated[
        int, Setting("Requests a second, at most, of restores too; 0 is no limit.", least=0, most=1_000_000)
    ] = 0
    versions: Annotated[
        int,
        Setting(
            'Versions of each secret that a backup takes, the newest included; 0 or "all" takes all of them.\n'
            "More than 1 needs archives of format v2.",
            kind="versions",
            least=0,
        ),
    ] = 1
    metadata: Annotated[
        bool,
        Setting(
            "Whether backups in format v2 take what the vault keeps about secrets besides their values: custom\n"
            "metadata, settings of keys, keys without a value, options of mounts. It wants more rights:\n"
            "see docs/setup.md."
        ),
    ] = True
    policies: Annotated[
        bool,
        Setting("Whether backups in format v2 take the vault's policies. It wants more rights: see docs/setup.md."),
    ] = True
    request_timeout: Annotated[
        float, Setting("Time for one request; a server works on a large folder for up to 90 seconds.")
    ] = 100.0
    retry_budget: Annotated[float, Setting("Time in which nothing at all succeeds before a job gives up.")] = 60.0
    start_budget: Annotated[
        float, Setting("The same for the first contact, where waiting only hides a wrong address.", configured=False)
    ] = 5.0
    retry_base: Annotated[float, Setting("Pause between the first two attempts.", configured=False)] = 0.25
    retry_cap: Annotated[float, Setting("Longest pause between attempts.", configured=False)] = 10.0
    own: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", _address(self.address))
        check_limits(self)
        if not self.namespace.isprintable():
            raise ConfigurationError(
                "The vault namespace holds characters that no namespace has.",
                hint="Correct namespace in [vault], or BAO_NAMESPACE or VAULT_NAMESPACE: look for a line break in it.",
            )
        if self.versions != 1 and not self.metadata:
            raise ConfigurationError(
                "Older versions of secrets are metadata, which [vault] leaves out.",
                hint="Use metadata = true, or versions = 1.",
            )
        check_roots(self.roots)
        for root in self.roots:
            if owns(self.own, root.mount, root.folder):
                raise ConfigurationError(
                    f"The vault root {root} is where kleidia-backup keeps its own secrets, which are never backed up.",
                    hint="Correct that root, or secrets_path in [service].",
                )


def _address(address: str) -> str:
    if "@" in address:
        raise ConfigurationError(
            "The vault address holds a user name or password.", hint="Configure the login apart from the address."
        )
    if not is_server_url(address):
        raise ConfigurationError(
            "The vault address is not a URL.", hint="It looks like https://openbao.example.com:8200."
        )
    return address.rstrip("/").removesuffix("/v1")
