"""The service's own secrets, in OpenBao: the encryption password, the store's key, passwords of restores that wait.

Each is a secret of its own in one folder. What was set through the service carries a random tag, and the settings in
the database say which tag counts. So the two are never mixed up: a restore of an older archive whose vault part holds
this folder (it does by default, as the specification promises) would bring back an older password or key beside newer
settings. ``kept`` puts the present ones back after it; where that could not happen, the tag does not fit, and the next
job says so instead of encrypting with a password that was replaced. A secret without a tag was written by the operator
with the vault's own tools, and is taken as it is.
"""

from __future__ import annotations

import json
import secrets as random
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import anyio

from ...stages.errors import ConfigurationError, VaultError, VaultForbidden
from ...stages.vault.answers import Found, Oversize, Refused, Written
from ...stages.vault.client import VaultClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ...stages.vault.answers import WriteResult
    from ...stages.vault.settings import VaultSettings

Name: TypeAlias = Literal["encryption-password", "s3"]

#: The field of each secret that holds the value.
FIELDS: dict[Name, str] = {"encryption-password": "password", "s3": "secret_access_key"}
#: Seconds for one request, and in which the vault must answer at all: people wait for it, and so does a transaction.
_REQUEST, _BUDGET = 5.0, 5.0
#: Largest secret of ours, in bytes.
_LARGEST = 64 * 1024


@dataclass(frozen=True, slots=True)
class Kept:
    """A secret and its tag, which is empty when the operator wrote it."""

    value: str = field(repr=False)
    tag: str = ""


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

    async def read(self, name: Name) -> Kept | None:
        """A secret, None when there is none. Raises ``ConfigurationError`` when its field is missing."""
        async with VaultClient(self._settings) as client:
            found = await self._read(client, name)
        return None if found is None else self._kept(name, found)

    async def read_all(self) -> dict[Name, Kept | None]:
        """All of the service's secrets, by their names; None for one that is missing or cannot be used."""
        found: dict[Name, Kept | None] = {}
        async with VaultClient(self._settings) as client:
            for name in FIELDS:
                value = await self._read(client, name)
                try:
                    found[name] = None if value is None else self._kept(name, value)
                except ConfigurationError:
                    found[name] = None
        return found

    async def write(self, name: Name, kept: Kept) -> None:
        """Store a secret."""
        async with VaultClient(self._settings) as client:
            await self._write(client, name, {FIELDS[name]: kept.value} | ({"tag": kept.tag} if kept.tag else {}))

    async def remove(self, name: Name) -> None:
        """Forget a secret; in KV version 2 its newest version is deleted, older ones can still be undeleted."""
        async with VaultClient(self._settings) as client:
            self._check(await client.delete(self._mount, f"{self._path}/{name}"), name, "delete")

    # Passwords of restores that wait --------------------------------------------------------------------------------

    async def keep(self, password: str) -> str:
        """Keep the password of a restore until it starts; by what it is found again, which tells nothing of it."""
        reference = random.token_hex(16)
        async with VaultClient(self._settings) as client:
            await self._write(client, _waiting(reference), {"password": password})
        return reference

    async def take(self, reference: str) -> str | None:
        """The password of a restore, which is destroyed; None when it is gone."""
        name = _waiting(reference)
        async with VaultClient(self._settings) as client:
            found = await self._read(client, name)
            await self._destroy(client, name)
        return None if found is None else self._text(name, found, "password")

    async def drop(self, reference: str | None) -> None:
        """Destroy the password of a restore that will not run, if it had one. A vault that refuses is let be."""
        if reference is None:
            return
        with suppress(VaultError):
            async with VaultClient(self._settings) as client:
                await self._destroy(client, _waiting(reference))

    # Around a restore -----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Keep the service's own secrets as they are through a restore, whatever it writes or prunes.

        Nothing changes for an operator who moves to a new system: there the settings (bucket and all) are entered
        first, the secrets among them, and these go on to count. The older ones are in the archive and, in KV version
        2, among the secret's older versions. Raises as ``read`` and ``write`` do; a failure of the restore comes first.
        """
        async with VaultClient(self._settings) as client:
            before = {name: await self._read(client, name) for name in FIELDS}
        failed = True
        try:
            yield
            failed = False
        finally:
            with anyio.CancelScope(shield=True):
                try:
                    await self._put_back(before)
                except VaultError:
                    if not failed:
                        raise

    async def _put_back(self, before: dict[Name, bytes | None]) -> None:
        async with VaultClient(self._settings) as client:
            for name, value in before.items():
                if value is None or await self._read(client, name) == value:
                    continue  # what was not there before may come from the archive
                self._check(await client.write(self._mount, f"{self._path}/{name}", value), name, "create and update")

    # One secret -----------------------------------------------------------------------------------------------------

    async def _read(self, client: VaultClient, name: str) -> bytes | None:
        answer = await client.read(self._mount, f"{self._path}/{name}", limit=_LARGEST)
        if isinstance(answer, Found):
            return answer.value
        if isinstance(answer, Refused):
            raise self._refused(answer, name, "read")
        if isinstance(answer, Oversize):
            raise ConfigurationError(f"{self.where(name)} in the vault is too large.", hint="Set it again.")
        return None

    async def _write(self, client: VaultClient, name: str, values: dict[str, str]) -> None:
        value = json.dumps(values).encode()
        if len(value) > _LARGEST:
            raise ConfigurationError("The secret is too long.", hint=f"It may have {_LARGEST >> 11} KiB.")
        self._check(await client.write(self._mount, f"{self._path}/{name}", value), name, "create and update")

    async def _destroy(self, client: VaultClient, name: str) -> None:
        answer = await client.delete(self._mount, f"{self._path}/{name}", all_versions=True)
        self._check(answer, name, "delete (and, in KV version 2, delete in metadata/)")

    def _check(self, answer: WriteResult, name: str, right: str) -> None:
        if isinstance(answer, Refused):
            raise self._refused(answer, name, right)
        assert isinstance(answer, Written), "no version was named, so there is no conflict"

    def _refused(self, answer: Refused, name: str, right: str) -> VaultError:
        if answer.status == 403:
            return VaultForbidden(
                f"The vault's token may not do this: {right} at {self.where(name)}.",
                hint="The service's policy must grant create, read, update and delete in that folder.",
            )
        return VaultError(f"{self.where(name)} in the vault: {answer.reason}.", hint="Check the vault; then try again.")

    def _kept(self, name: Name, value: bytes) -> Kept:
        tag = _members(value).get("tag", "")
        return Kept(self._text(name, value, FIELDS[name]), tag if isinstance(tag, str) else "")

    def _text(self, name: str, value: bytes, member: str) -> str:
        text = _members(value).get(member)
        if not isinstance(text, str) or not text:
            raise ConfigurationError(
                f"{self.where(name)} in the vault has no text in its field {member!r}.", hint="Set it again."
            )
        return text


def _members(value: bytes) -> dict[str, object]:
    found = json.loads(value)
    return found if isinstance(found, dict) else {}


def _waiting(reference: str) -> str:
    return f"restores/{reference}"
