"""The encryption password where it is kept in the vault."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

from ..stages.errors import ConfigurationError, VaultError
from ..stages.setting import Setting
from ..stages.vault.kv.settings import Root, VaultSettings

#: A part of one way, of several, to say where the password is.
_part = partial(Setting, group="password", alternative="vault")


@dataclass(frozen=True, slots=True)
class PasswordPlace:
    """Where the encryption password is kept: a field of a secret in the vault ([password.vault])."""

    mount: Annotated[str, _part("The KV mount.", "secret")]
    path: Annotated[str, _part("The secret in it.", "kleidia/backup")]
    field: Annotated[str, _part("The secret's field that holds the password.", "password")]

    async def read(self, vault: VaultSettings) -> str:
        """The password. Raises ``ConfigurationError`` when there is none, and the ``VaultError`` tree."""
        # Only who keeps it there waits for the client to be imported.
        from ..stages.vault.kv.answers import Found
        from ..stages.vault.kv.client import VaultClient

        async with VaultClient(replace(vault, roots=(Root("", self.mount),), own=())) as client:
            answer = await client.read(self.mount, self.path)
        where = f"{self.mount}/{self.path} in the vault at {vault.address}"
        if not isinstance(answer, Found):
            raise VaultError(
                f"The encryption password cannot be read: {where}: {_reason(answer)}.",
                hint="Check [password.vault], and that the policy grants read there.",
            )
        password = answer.text(self.field)
        if not password:
            raise ConfigurationError(
                f"{where} has no text in its field {self.field!r}.", hint="Correct field in [password.vault]."
            )
        return password


def _reason(answer: object) -> str:
    from ..stages.vault.kv.answers import Absent, Deleted, Refused

    match answer:
        case Refused(reason=reason):
            return reason
        case Absent():
            return "there is no such secret"
        case Deleted():
            return "the secret was deleted"
    return "it is too large"
