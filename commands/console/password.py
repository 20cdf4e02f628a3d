"""The encryption password for a command: as configured, else from a prompt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from ...config.build import configured_password, vault_settings
from ...config.password import PasswordPlace
from ...config.reader import Config, read_secret
from ...stages.errors import ConfigurationError
from ...stages.vault.kv.settings import Root
from .ask import ask_password


def encryption_password(
    config: Config,
    run: Callable[[Callable[[], Awaitable[str]]], str],
    *,
    twice: bool = False,
    needed: bool = True,
    file: Path | None = None,
    ask: bool = False,
) -> str | None:
    """The encryption password: by ``ask`` a prompt, else ``file``, ``KLEIDIA_BACKUP_PASSWORD``, [password], a prompt.

    Nobody is asked, and None returned, where it is not ``needed`` and nothing says where it is.

    ``twice`` has a prompt repeated; ``run`` runs the question to the vault, if it is there.
    Raises ``ConfigurationError``, and the ``VaultError`` tree.
    """
    if ask:
        return ask_password("Encryption password", twice=twice)
    if file is not None:
        return read_secret(file, "password file")
    found = configured_password(config)
    if isinstance(found, PasswordPlace):
        settings = vault_settings(config, roots=(Root("", found.mount),))
        if settings is None:
            raise ConfigurationError(
                "The password is in a vault that is not configured.", hint="Add a section [vault]."
            )
        return run(lambda: found.read(settings))
    if found is None and needed:
        return ask_password("Encryption password", twice=twice)
    return found
