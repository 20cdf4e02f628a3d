"""A key of a vault's Transit engine, which encrypts the data key of an archive (formats/v2/SPEC.md, section 4)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from ...formats.json.broken import BROKEN
from ..errors import ConfigurationError, Right, VaultError, VaultForbidden, VaultMountMissing
from .kv.check import lacking
from .kv.client import VaultClient
from .kv.transport import Call
from .kv.troubles import NO_MOUNT, Answer

if TYPE_CHECKING:
    from .kv.settings import VaultSettings


class _Data(msgspec.Struct):
    ciphertext: str = ""
    plaintext: str = ""


class _DataAnswer(msgspec.Struct):
    data: _Data


@dataclass(frozen=True, slots=True)
class TransitKey:
    """The key ``name`` of the Transit engine at ``mount``, without slashes around it. ``repr`` shows no secret.

    ``vault`` says where it is and how to log in; its roots are not used. Each use is a session of its own.
    Raises ``ConfigurationError`` for what can be no mount or no key.
    """

    mount: str
    name: str
    vault: VaultSettings = field(repr=False)

    def __post_init__(self) -> None:
        parts = (*self.mount.split("/"), self.name)
        if "/" in self.name or any(each in {"", ".", ".."} or not each.isprintable() for each in parts):
            raise ConfigurationError(
                "This is no key of a vault's Transit engine.", hint='Write MOUNT/KEY, such as "transit/backup".'
            )

    def __str__(self) -> str:
        return f"{self.mount}/{self.name}"

    async def wrap(self, data_key: bytes) -> str:
        """The engine's ciphertext of a data key.

        Raises ``VaultForbidden`` with the right that is missing, ``VaultMountMissing`` for no such mount,
        ``VaultError`` for no such key, and what ``VaultClient`` raises.
        """
        async with VaultClient(self.vault) as client:
            # Who may create makes a key by encrypting with one that is not there.
            await self._look(client)
            body = {"plaintext": base64.b64encode(data_key).decode()}
            wrapped = (await self._ask(client, "encrypt", body)).ciphertext
        if not wrapped:
            raise self._wrong("encrypt", "the answer holds no ciphertext")
        return wrapped

    async def unwrap(self, wrapped: str) -> bytes:
        """What the engine's ciphertext decrypts to. Raises as ``wrap``; ``VaultError`` too for another's ciphertext."""
        async with VaultClient(self.vault) as client:
            plaintext = (await self._ask(client, "decrypt", {"ciphertext": wrapped})).plaintext
        try:
            return base64.b64decode(plaintext, validate=True)
        except (binascii.Error, ValueError):
            raise self._wrong("decrypt", "the answer holds no base64") from None

    async def lacking(self) -> tuple[list[Right], list[Right]]:
        """The rights that the login lacks for ``wrap``, and those for ``unwrap``; does neither. Raises as ``wrap``."""
        async with VaultClient(self.vault) as client:
            await self._look(client)
            wrap, unwrap = [
                await lacking(client, [(path, path, ["update"])])
                for path in (f"{self.mount}/{what}/{self.name}" for what in ("encrypt", "decrypt"))
            ]
        return wrap, unwrap

    async def _look(self, client: VaultClient) -> None:
        """Refuse a key that is not there, as far as the login may look. Raises as ``wrap``."""
        found = await client.control(Call("GET", f"{self.mount}/keys/{self.name}"))
        if found.status == 404:
            raise self._missing(found)

    async def _ask(self, client: VaultClient, what: str, body: dict[str, str]) -> _Data:
        path = f"{self.mount}/{what}/{self.name}"
        answer = await client.control(Call("POST", path, msgspec.json.encode(body)))
        if answer.status == 403:
            right = Right("update", path)
            raise VaultForbidden(
                f"The vault at {self.vault.address} does not let this login {what} with the Transit key {self}, "
                "or has no such key: a vault does not tell.",
                hint=f"Grant {right}, or correct transit in [keys].",
                rights=(right,),
            )
        if answer.status == 404:
            raise self._missing(answer)
        if answer.status != 200:
            raise self._wrong(what, answer.errors() or f"the server answers {answer.status}")
        try:
            return msgspec.json.decode(answer.body, type=_DataAnswer).data
        except BROKEN:
            raise self._wrong(what, "the answer cannot be read") from None

    def _missing(self, answer: Answer) -> VaultError:
        if answer.says(NO_MOUNT):
            return VaultMountMissing(
                f"There is no mount {self.mount!r} in the vault at {self.vault.address}.",
                hint="Correct transit in [keys], or enable a Transit engine there.",
            )
        return VaultError(
            f"There is no Transit key {self} in the vault at {self.vault.address}.",
            hint="Correct transit in [keys], or make the key. One that was deleted opens nothing any more.",
        )

    def _wrong(self, what: str, why: str) -> VaultError:
        return VaultError(
            f"The vault at {self.vault.address} did not {what} with the Transit key {self}: {why}.",
            hint="Check that transit in [keys] names the key, and [vault] the vault, that the archive was made with.",
        )
