"""The key slots of an archive of format V2: making them, finding the data key by them, and whom to believe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...formats.errors import DamagedArchive, UnknownSigner, WrongPassword
from ...formats.v2.keys.pairs import VerifyKey
from ...formats.v2.keys.slot_kinds import KEY_SIZE
from ...formats.v2.keys.slots import Slot, Transit, open_slots, seal_password, seal_public
from ...formats.v2.keys.text import InvalidKey
from ...stages.errors import ConfigurationError, VaultError
from ..engine import in_thread

if TYPE_CHECKING:
    from ...formats.v2.head import Head
    from ...formats.v2.keys.pairs import PublicKey
    from ...stages.vault.transit import TransitKey
    from ..parts.keys import Keys


def make_slots(
    data_key: bytes, digest: bytes, password: str | None, recipients: Sequence[PublicKey]
) -> tuple[Slot, ...]:
    """The data key, sealed for a password and for public keys; blocks. ``digest`` is that of the facts.

    Raises ``ConfigurationError`` for a key that nothing can be sealed for.
    """
    slots: list[Slot] = [] if password is None else [seal_password(password, data_key, digest)]
    try:
        slots += (seal_public(each, data_key, digest) for each in dict.fromkeys(recipients))
    except InvalidKey as exc:
        raise ConfigurationError(str(exc), hint="Ask the recipient for the public key again.") from None
    return tuple(slots)


async def transit_slots(data_key: bytes, key: TransitKey | None) -> tuple[Slot, ...]:
    """The data key, encrypted by a vault, if there is such a key. Raises the ``VaultError`` tree."""
    if key is None:
        return ()
    return (Transit(mount=key.mount, name=key.name, wrapped=await key.wrap(data_key)),)


async def find_data_key(head: Head, password: str | None, keys: Keys) -> bytes:
    """The data key, by which the head was checked: by private keys, the password, then a vault's Transit key.

    Raises ``WrongPassword``, ``DamagedArchive``, and the ``VaultError`` tree when the vault was the last to be asked.
    """

    def find() -> bytes:
        return open_slots(head.slots, head.facts_digest, password=password, identities=keys.private_keys)

    try:
        data_key = await in_thread(find)
    except WrongPassword as wrong:
        if keys.transit is None:
            raise
        data_key = await _ask_vault(head, keys.transit, wrong, others=password is not None or bool(keys.private_keys))
    head.check(data_key)
    return data_key


async def _ask_vault(head: Head, key: TransitKey, wrong: WrongPassword, *, others: bool) -> bytes:
    """The data key by a Transit slot, after ``others`` were tried, or none were given.

    The archive says which key, and is not authenticated yet: only the one that was configured is ever asked.
    """
    found = [
        each for each in head.slots if isinstance(each, Transit) and (each.mount, each.name) == (key.mount, key.name)
    ]
    tried = f"{wrong.message} " if others else ""
    if not found:
        raise WrongPassword(f"{tried}The archive has no key slot for the Transit key {key}.", hint=wrong.hint)
    failed: VaultError | None = None
    for slot in found:
        try:
            data_key = await key.unwrap(slot.wrapped)
        except VaultError as exc:
            failed = exc
            continue
        if len(data_key) != KEY_SIZE:
            raise DamagedArchive("slots", f"The key slot for the Transit key {key} does not hold a data key.")
        return data_key
    assert failed is not None
    failed.message = f"{tried}{failed.message}"
    raise failed


def check_signer(head: Head, keys: Keys) -> None:
    """Refuse what a stranger may have made, and what a stranger signed where signers are named.

    Who knows the password alone could have made an archive that only passwords open. Raises ``UnknownSigner``.
    """
    signer = head.facts.signer
    if not signer or keys.trusts(signer) or not (head.anybodys or keys.trusted_signers):
        return
    text = VerifyKey(signer).text
    raise UnknownSigner(
        "The archive is signed by a key that is not trusted here: somebody else may have made it.",
        hint=f"If you know that this key signs your backups, add it to trusted_signers in [keys]: {text}",
        signer=text,
    )
