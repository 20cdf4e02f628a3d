"""The keys of archives in format V2: whom they are sealed for, who signs them, and who is believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...stages.errors import ConfigurationError
from .passwords import check_making, check_password

if TYPE_CHECKING:
    from ...formats.v2.keys.pairs import PrivateKey, PublicKey, SigningKey, VerifyKey
    from ...stages.vault.transit import TransitKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What a job may know besides a password; ``repr`` shows no secret.

    A backup seals for ``recipients`` and by ``transit``, a key in a vault, signs by ``signing_key`` (which it must have
    if there is either), and has a slot for the password unless ``password_slot`` is False: then who writes archives
    cannot read them, unless ``transit`` lets them.

    A restore opens archives by ``private_keys``, then the password, then ``transit``. It restores those that a stranger
    may have made only if ``trusted_signers`` signed them, or ``signing_key`` did.
    """

    recipients: tuple[PublicKey, ...] = ()
    signing_key: SigningKey | None = None
    password_slot: bool = True
    private_keys: tuple[PrivateKey, ...] = ()
    trusted_signers: tuple[VerifyKey, ...] = ()
    transit: TransitKey | None = None

    @property
    def open_something(self) -> bool:
        """Whether there are archives that open without a password."""
        return bool(self.private_keys or self.transit)

    def trusts(self, signer: bytes) -> bool:
        """Whether this Ed25519 public key (32 bytes) is one of those that are believed."""
        own = () if self.signing_key is None else (self.signing_key.public,)
        return any(each.raw == signer for each in (*self.trusted_signers, *own))


#: A job that has a password alone.
NO_KEYS = Keys()


def check_writing(password: str | None, keys: Keys, *, slots: bool, allow_weak: bool = False) -> None:
    """Refuse what no archive can be made with; ``slots`` says whether its format has key slots.

    ``allow_weak``: a password that could be guessed is taken too.

    Raises ``ConfigurationError``.
    """
    if not slots and (keys.recipients or keys.signing_key or keys.transit or not keys.password_slot):
        raise ConfigurationError(
            "Archives of format V1 know no keys: only a password opens them, and nobody signs them.",
            hint="Choose format v2, or leave recipients, signing_key_file, password_slot and transit out of [keys].",
        )
    if (keys.recipients or keys.transit) and keys.signing_key is None:
        raise ConfigurationError(
            "An archive that is sealed for public keys must be signed, for anybody can encrypt for a public key."
            if keys.recipients
            else "An archive with a slot for a vault's Transit key must be signed, for others may use that key too.",
            hint="Make a key by `kleidia-backup keygen --kind signing FILE`; FILE is signing_key_file in [keys].",
        )
    if keys.password_slot:
        check_making(password or "", allow_weak=allow_weak)
    elif not keys.recipients:
        raise ConfigurationError(
            "Nobody could open the archive: it would have a slot neither for a password nor for a public key."
            + (" Transit alone is not enough: without that vault the archive would be lost." if keys.transit else ""),
            hint="Name recipients in [keys], or leave password_slot out.",
        )


def check_reading(password: str | None, keys: Keys) -> None:
    """Refuse a password that cannot be meant, or nothing to open an archive by. Raises ``ConfigurationError``."""
    if password is not None:
        check_password(password)
    elif not keys.open_something:
        raise ConfigurationError(
            "There is neither a password nor a private key to open the archive by.",
            hint="Give the password, or the file of a key: --key-file, or private_key_files in [keys].",
        )
