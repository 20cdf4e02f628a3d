"""The keys of archives, as [keys] has them: public ones as text, secret ones by the files that hold them."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..formats.v2.keys.pairs import PrivateKey, PublicKey, SigningKey, VerifyKey
from ..formats.v2.keys.text import InvalidKey
from ..pipeline.parts.keys import Keys
from ..stages.errors import ConfigurationError
from ..stages.vault.kv.settings import AppRoleAuth, Root
from .build import missing_section, vault_settings
from .reader import read_secret
from .sections import KeySettings

if TYPE_CHECKING:
    from ..stages.vault.transit import TransitKey
    from .reader import Config

T = TypeVar("T")


def archive_keys(config: Config, more: Sequence[Path] = ()) -> Keys:
    """The configured keys, and the private ones in ``more`` files.

    Raises ``ConfigurationError``, which shows nothing of a key.
    """
    given = KeySettings(**config.of(KeySettings))
    signing, private = given.signing_key_file, (*given.private_key_files, *more)
    return Keys(
        recipients=tuple(parsed(PublicKey.parse, each, "in recipients of [keys]") for each in given.recipients),
        signing_key=None if signing is None else _from_file(SigningKey.parse, signing),
        password_slot=given.password_slot,
        private_keys=tuple(_from_file(PrivateKey.parse, each) for each in private),
        trusted_signers=tuple(
            parsed(VerifyKey.parse, each, "in trusted_signers of [keys]") for each in given.trusted_signers
        ),
        transit=transit_key(config, given.transit, "transit in [keys]") if given.transit else None,
    )


def configured_transit(config: Config) -> TransitKey | None:
    """``transit`` of [keys] alone; no file of a key is read. Raises ``ConfigurationError``."""
    given = KeySettings(**config.of(KeySettings)).transit
    return transit_key(config, given, "transit in [keys]") if given else None


def exposed_keys(config: Config, more: Sequence[Path] = ()) -> Iterator[str]:
    """What is risky about the files of secret keys: that others can read them. Raises ``ConfigurationError``."""
    given = KeySettings(**config.of(KeySettings))
    for path in (*given.private_key_files, *filter(None, (given.signing_key_file,)), *more):
        try:
            mode = path.stat().st_mode
        except OSError:
            continue  # who reads it says why
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield f"{path} holds a secret key and others may read it; chmod 600 {path}"


def parsed(parse: Callable[[str], T], text: str, where: str) -> T:
    """A key by its text. Raises ``ConfigurationError`` with nothing of it: it may be a secret in the wrong place."""
    try:
        return parse(text)
    except InvalidKey as exc:
        raise ConfigurationError(
            f"The key {where} cannot be used. {exc}", hint="`kleidia-backup keygen` makes keys, and prints public ones."
        ) from None


def transit_key(config: Config, text: str, where: str) -> TransitKey:
    """The key MOUNT/KEY of the Transit engine of the vault in [vault]; ``where`` says who names it.

    Raises ``ConfigurationError``.
    """
    # Only who has such a key waits for the client to be imported.
    from ..stages.vault.transit import TransitKey

    mount, _, name = text.strip("/").rpartition("/")
    vault = vault_settings(config, roots=(Root("", mount or "transit"),))
    if vault is None:
        raise missing_section(config, "vault", f"The vault that has the key of {where}")
    if isinstance(vault.auth, AppRoleAuth) and vault.auth.wrapped:
        raise ConfigurationError(
            f"{where} needs a vault login of its own, and a wrapped secret_id opens once.",
            hint="Unwrap it, give the real secret_id (secret_id_file) and set wrapped = false in [vault.auth].",
        )
    return TransitKey(mount, name, vault)


def _from_file(parse: Callable[[str], T], path: Path) -> T:
    return parsed(parse, read_secret(path, "key file"), f"in the file {path}")
