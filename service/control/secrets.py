"""The service's own secrets, in OpenBao: the encryption password, the store's key, passwords of restores that wait.

Each is a secret of its own in one folder, which no backup reads and no restore writes (``VaultSettings.own``). What was
set through the service carries a random tag, and the settings in the database say which tag counts: where other tools
bring back an older password or key, the next job says so instead of encrypting with a password that was replaced. A
secret without a tag was written by the operator with the vault's own tools, and is taken as it is.
"""

from __future__ import annotations

import json
import secrets as random
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from ...stages.errors import ConfigurationError, Right, VaultError, VaultForbidden
from ...stages.vault.kv.answers import Found, Oversize, Refused, WriteResult, Written
from ...stages.vault.kv.client import VaultClient

if TYPE_CHECKING:
    from ...stages.vault.kv.settings import VaultSettings

Name: TypeAlias = Literal["encryption-password", "s3"]

#: The field of each secret that holds the value.
FIELDS: dict[Name, str] = {"encryption-password": "password", "s3": "secret_access_key"}
#: Seconds for one request, and in which the vault must answer at all: people wait for it, and so does a transaction.
_REQUEST, _BUDGET = 5.0, 5.0
#: Largest of the service's secrets, in bytes.
_LARGEST = 64 * 1024
#: The secret with the key of the audit log's chain, and how long that is.
_AUDIT_KEY, _KEY_BYTES = "audit-key", 32


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """A secret and its tag, which is empty when the operator wrote it."""

    value: str = field(repr=False)
    tag: str = ""


@dataclass(frozen=True, slots=True)
class ChainKey:
    """The key of the audit log's chain, its name, and whether it is still to begin, as far as is known."""

    key: bytes = field(repr=False)
    chain: str
    pending: bool = False


class ServiceSecrets:
    """The folder ``path`` of the KV engine ``mount``. Every call is a session of its own.

    Every method raises what ``VaultClient`` raises when it is entered, and ``VaultForbidden`` or ``VaultError`` naming
    the path that could not be read or written.
    """

    def __init__(self, vault: VaultSettings, mount: str, path: str) -> None:
        self._settings = replace(
            vault,
            request_timeout=min(vault.request_timeout, _REQUEST),
            retry_budget=min(vault.retry_budget, _BUDGET),
            start_budget=min(vault.start_budget, _BUDGET),
        )
        self._mount = mount.strip("/")
        self._path = path.strip("/")

    def where(self, name: str) -> str:
        """A secret's place for messages."""
        return f"{self._mount}/{self._path}/{name}"

    async def read(self, name: Name) -> StoredSecret | None:
        """A secret, None when there is none. Raises ``ConfigurationError`` when its field is missing."""
        async with VaultClient(self._settings) as client:
            found = await self._read(client, name)
        return None if found is None else self._stored(name, found)

    async def exists(self, name: Name) -> bool:
        """Whether there is something in a secret's place, also something that cannot be used."""
        async with VaultClient(self._settings) as client:
            return await self._read(client, name) is not None

    async def read_all(self) -> dict[Name, StoredSecret | None]:
        """All of the service's secrets, by their names; None for one that is missing or cannot be used."""
        found: dict[Name, StoredSecret | None] = {}
        async with VaultClient(self._settings) as client:
            for name in FIELDS:
                value = await self._read(client, name)
                try:
                    found[name] = None if value is None else self._stored(name, value)
                except ConfigurationError:
                    found[name] = None
        return found

    async def write(self, name: Name, kept: StoredSecret) -> None:
        """Store a secret."""
        async with VaultClient(self._settings) as client:
            await self._write(client, name, {FIELDS[name]: kept.value} | ({"tag": kept.tag} if kept.tag else {}))

    async def remove(self, name: Name) -> None:
        """Forget a secret; in KV version 2 its newest version is deleted, older ones can still be undeleted."""
        async with VaultClient(self._settings) as client:
            self._check(await client.delete(self._mount, f"{self._path}/{name}"), name, "delete")

    async def chain_key(self, *, create: bool) -> ChainKey:
        """The key of the audit log's chain; made, where there is none and ``create``.

        It is pending until ``chain_begun``: whoever made it may have died before the database had the chain.

        Raises ``ConfigurationError`` when it is gone, or no key.
        """
        async with VaultClient(self._settings) as client:
            found = await self._read(client, _AUDIT_KEY)
            if found is None and create:
                text, chain, pending = random.token_hex(_KEY_BYTES), random.token_hex(8), True
                await self._write(client, _AUDIT_KEY, {"key": text, "chain": chain, "pending": "yes"})
            elif found is None:
                raise ConfigurationError(
                    f"The key of the audit log's chain is not in the vault any more ({self.where(_AUDIT_KEY)}).",
                    hint="Bring it back from a copy of the vault: without it nobody can tell what was changed.",
                )
            else:
                text, chain = self._text(_AUDIT_KEY, found, "key"), found.text("chain")
                pending = bool(found.text("pending"))
        try:
            key = bytes.fromhex(text)
        except ValueError:
            key = b""
        if len(key) != _KEY_BYTES:
            raise ConfigurationError(f"{self.where(_AUDIT_KEY)} in the vault is no key.", hint="Bring it back.")
        return ChainKey(key, chain, pending)

    async def chain_begun(self, found: ChainKey) -> None:
        """Note that the database has the chain: from now on one that is not there was removed."""
        async with VaultClient(self._settings) as client:
            await self._write(client, _AUDIT_KEY, {"key": found.key.hex(), "chain": found.chain})

    # Passwords of restores that wait --------------------------------------------------------------------------------

    async def store_password(self, password: str) -> str:
        """Store the password of a restore until it starts; returns a random reference to it."""
        reference = random.token_hex(16)
        async with VaultClient(self._settings) as client:
            await self._write(client, _waiting(reference), {"password": password})
        return reference

    async def take_password(self, reference: str) -> str | None:
        """The password of a restore, which is destroyed; None when it is gone."""
        name = _waiting(reference)
        async with VaultClient(self._settings) as client:
            found = await self._read(client, name)
            await self._destroy(client, name)
        return None if found is None else self._text(name, found, "password")

    async def drop_password(self, reference: str | None) -> None:
        """Destroy the password of a restore that will not run, if it had one. A vault that refuses is let be."""
        if reference is None:
            return
        with suppress(VaultError):
            async with VaultClient(self._settings) as client:
                await self._destroy(client, _waiting(reference))

    # One secret -----------------------------------------------------------------------------------------------------

    async def _read(self, client: VaultClient, name: str) -> Found | None:
        answer = await client.read(self._mount, f"{self._path}/{name}", limit=_LARGEST)
        if isinstance(answer, Found):
            return answer
        if isinstance(answer, Refused):
            raise self._refused(answer, name, "read")
        if isinstance(answer, Oversize):
            raise ConfigurationError(f"{self.where(name)} in the vault is too large.", hint="Set it again.")
        return None

    async def _write(self, client: VaultClient, name: str, values: dict[str, str]) -> None:
        value = json.dumps(values).encode()
        if len(value) > _LARGEST:
            raise ConfigurationError("The secret is too long.", hint=f"It may have {_LARGEST >> 11} KiB.")
        self._check(await client.write(self._mount, f"{self._path}/{name}", value), name, "create", "update")

    async def _destroy(self, client: VaultClient, name: str) -> None:
        answer = await client.delete(self._mount, f"{self._path}/{name}", all_versions=True)
        self._check(answer, name, "delete")

    def _check(self, answer: WriteResult, name: str, *verbs: str) -> None:
        if isinstance(answer, Refused):
            raise self._refused(answer, name, *verbs)
        assert isinstance(answer, Written), "no version was named, so there is no conflict"

    def _refused(self, answer: Refused, name: str, *verbs: str) -> VaultError:
        if answer.status == 403:
            return VaultForbidden(
                f"The vault's token may not do this: {' and '.join(verbs)} at {self.where(name)}.",
                hint="The service's policy must grant create, read, update and delete in that folder, and in KV "
                "version 2 delete in the same folder of metadata/.",
                rights=tuple(Right(verb, self.where(name)) for verb in verbs),
            )
        return VaultError(f"{self.where(name)} in the vault: {answer.reason}.", hint="Check the vault; then try again.")

    def _stored(self, name: Name, found: Found) -> StoredSecret:
        return StoredSecret(self._text(name, found, FIELDS[name]), found.text("tag"))

    def _text(self, name: str, found: Found, member: str) -> str:
        text = found.text(member)
        if not text:
            raise ConfigurationError(
                f"{self.where(name)} in the vault has no text in its field {member!r}.", hint="Set it again."
            )
        return text


def _waiting(reference: str) -> str:
    return f"restores/{reference}"
