"""Where the encryption password comes from: the environment, a file, the vault, a prompt. Never an argument."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..stages.errors import ConfigurationError, VaultError
from ..stages.vault.settings import Root
from .ask import ask_password
from .config import PASSWORD_VARIABLE, read_secret
from .settings import vault_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .config import Config

_FIELDS = ("mount", "path", "field")


def encryption_password(
    config: Config,
    run: Callable[[Callable[[], Awaitable[str]]], str],
    *,
    twice: bool = False,
    file: Path | None = None,
    ask: bool = False,
) -> str:
    """The encryption password: by ``ask`` a prompt, else ``file``, ``KLEIDIA_BACKUP_PASSWORD``, [password], a prompt.

    ``twice`` has a prompt repeated; ``run`` runs the question to the vault, if it is there.
    Raises ``ConfigurationError``, and the ``VaultError`` tree.
    """
    if ask:
        return ask_password("Encryption password", twice=twice)
    if file is None and (password := os.environ.get(PASSWORD_VARIABLE)):
        return password
    if file := file or config.get("password", "file", Path):
        return read_secret(file, "password file")
    if variable := config.get("password", "env", str):
        return _variable(variable)
    if "password.vault" in config.sections:
        return run(lambda: _from_vault(config))
    return ask_password("Encryption password", twice=twice)


def _variable(name: str) -> str:
    if password := os.environ.get(name):
        return password
    raise ConfigurationError(
        "The environment variable that [password] names for the encryption password is not set.",
        hint="Set it; env in [password] is the variable's name, never the password.",
    )


async def _from_vault(config: Config) -> str:
    # Only who keeps it there waits for the client to be imported.
    from ..stages.vault.answers import Found
    from ..stages.vault.client import VaultClient

    given = config.given("password.vault")
    if missing := [name for name in _FIELDS if name not in given]:
        raise ConfigurationError(
            f"{missing[0]} in [password.vault] is not set.", hint="It takes mount, path and field."
        )
    mount, path, field = (str(given[name]).strip("/") if name != "field" else str(given[name]) for name in _FIELDS)
    settings = vault_settings(config, roots=(Root("", mount),))
    if settings is None:
        raise ConfigurationError("The password is in a vault that is not configured.", hint="Add a section [vault].")
    async with VaultClient(settings) as client:
        answer = await client.read(mount, path)
    where = f"{mount}/{path} in the vault at {settings.address}"
    if not isinstance(answer, Found):
        raise VaultError(
            f"The encryption password cannot be read: {where}: {_reason(answer)}.",
            hint="Check [password.vault], and that the policy grants read there.",
        )
    value = json.loads(answer.value)
    password = value.get(field) if isinstance(value, dict) else None
    if not isinstance(password, str) or not password:
        raise ConfigurationError(
            f"{where} has no text in its field {field!r}.", hint="Correct field in [password.vault]."
        )
    return password


def _reason(answer: object) -> str:
    reason = getattr(answer, "reason", "")
    return str(reason) or {"Absent": "there is no such secret", "Deleted": "the secret was deleted"}.get(
        type(answer).__name__, "it is too large"
    )
