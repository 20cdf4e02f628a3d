"""Other key slots for an archive that is there: who can open it from now on. Its data is not read.

This revokes nothing: whoever once opened the archive may have kept its data key, and an old copy of the file, or an old
version in a bucket that keeps them, has the old slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...formats.errors import UnsupportedArchive
from ...formats.v2.head import Head, replace_slots
from ...formats.v2.keys.slots import Password, Recipient, Slot, Transit
from ...stages.archive.download import read_head
from ...stages.errors import ConfigurationError, StoreError
from ...stages.words import STORE
from ..engine import in_thread
from ..job import JOB_TIMEOUT, Job, within
from ..parts.keys import NO_KEYS, Keys, check_reading
from ..parts.passwords import check_making
from .opening import find_name
from .slots import check_signer, find_data_key, make_slots, transit_slots

if TYPE_CHECKING:
    from ...formats.v2.keys.pairs import PublicKey
    from ...stages.stores.base import ObjectInfo, ObjectStore, StoreSettings
    from ...stages.vault.transit import TransitKey


@dataclass(frozen=True, slots=True, kw_only=True)
class RewrapReport:
    """An archive and its slots as they are now. ``absent`` are the keys to remove that had no slot.

    ``changed`` is False where everything was as wanted already; then nothing was written. Otherwise the file has
    another SHA-256 than its backup reported. ``old_version`` is what the store calls the file as it was before, with
    its old slots, where it keeps versions; a lock keeps it as long as it was to be kept.
    """

    name: str
    changed: bool
    slots: tuple[Slot, ...]
    absent: tuple[str, ...] = ()
    old_version: str = ""


async def rewrap(
    name: str,
    *,
    store: StoreSettings,
    password: str | None = None,
    keys: Keys = NO_KEYS,
    add: Sequence[PublicKey] = (),
    add_transit: TransitKey | None = None,
    remove: Sequence[str] = (),
    new_password: str | None = None,
    drop_password: bool = False,
    allow_weak_password: bool = False,
    timeout: float = JOB_TIMEOUT,  # noqa: ASYNC109 - a limit for the job, with an error of its own
) -> RewrapReport:
    """Replace the key slots of an archive of format V2, which ``password`` or ``keys`` open.

    ``add`` are recipients that get a slot, ``add_transit`` is a vault's key that gets one. ``remove`` are the ids of
    recipients that lose theirs (``PublicKey.id``), and Transit keys as ``MOUNT/NAME``. A ``new_password`` takes the
    place of all that are there, and must be strong, unless ``allow_weak_password`` (``parts/passwords.py``);
    ``drop_password`` removes them. Asked again, it changes nothing; what is removed and added at once is sealed anew,
    which for a Transit key is by its newest version. Whatever ends this in the middle, the archive opens by its old
    slots or by its new ones.

    Raises ``ConfigurationError`` for what cannot be, ``UnsupportedArchive`` for format V1, ``UnknownSigner``, what a
    vault says of the Transit key, and the rest of the tree in ``kleidia_backup.stages.errors``. Serves section 4 of
    ``formats/v2/SPEC.md``.
    """
    check_reading(password, keys)
    if new_password is not None:
        check_making(new_password, allow_weak=allow_weak_password)
    if not (add or add_transit or remove or drop_password or new_password is not None):
        raise ConfigurationError("There is nothing to change.", hint="Say what to add or to remove.")
    if drop_password and new_password is not None:
        raise ConfigurationError("A new password and none exclude each other.", hint="Ask for one of them.")
    job = Job(None, None)

    async def work() -> RewrapReport:
        with job.asking(STORE):
            async with store.open() as target:
                info, head = await read_head(target, await find_name(target, name))
                if not isinstance(head, Head):
                    raise UnsupportedArchive(
                        f"{info.name} is of format V1, which has no key slots: only its password opens it.",
                        hint="Make a new backup in format v2.",
                    )
                data_key = await find_data_key(head, password, keys)
                check_signer(head, keys)
                gone, fresh = set(remove), drop_password or new_password is not None
                kept = [each for each in head.slots if not _goes(each, gone, passwords=fresh)]
                present = set(map(_named, kept))
                new = [each for each in add if each.id not in present]
                vault = add_transit if str(add_transit) not in present else None
                _check_signed(info.name, head, kept, anybody=bool(new or vault))
                added = (*kept, *await in_thread(make_slots, data_key, head.facts_digest, new_password, new))
                _check_rest(info.name, added)
                slots = (*added, *await transit_slots(data_key, vault))
                absent = gone - set(map(_named, head.slots))
                if changed := slots != head.slots:
                    await _replace(target, info, head, replace_slots(head, slots, data_key))
                return RewrapReport(
                    name=info.name,
                    changed=changed,
                    slots=slots,
                    absent=tuple(sorted(absent)),
                    old_version=info.version if changed else "",
                )

    return await within(timeout, work, job)


def _goes(slot: Slot, gone: set[str], *, passwords: bool) -> bool:
    if isinstance(slot, Password):
        return passwords
    return _named(slot) in gone


def _named(slot: Slot) -> str | None:
    """What a slot is removed by, if it can be named."""
    match slot:
        case Recipient():
            return slot.key
        case Transit():
            return f"{slot.mount}/{slot.name}"
    return None


def _check_rest(name: str, slots: Sequence[Slot]) -> None:
    """Refuse slots that nobody could open without a vault."""
    if not any(isinstance(each, Password | Recipient) for each in slots):
        raise ConfigurationError(
            f"Nobody could open {name} any more: no slot for a password or a public key would be left.",
            hint="Add another first. A vault's Transit key is not enough: without that vault nobody could.",
        )


def _check_signed(name: str, head: Head, kept: Sequence[Slot], *, anybody: bool) -> None:
    """Refuse slots that only a signed archive may have."""
    if not head.facts.signer and (anybody or any(isinstance(each, Recipient | Transit) for each in kept)):
        raise ConfigurationError(
            f"{name} is not signed, and can have no slot for a public key or a vault's Transit key: "
            "others can encrypt for one.",
            hint="A signature cannot be added later. Make a new backup, with signing_key_file in [keys].",
        )


async def _replace(store: ObjectStore, info: ObjectInfo, head: Head, raw: bytes) -> None:
    """Write another head, and see that it is there."""
    made = await store.replace_start(info.name, bytearray(raw), skip=head.size, pin=info)
    _, found = await read_head(store, made.name)
    if not isinstance(found, Head) or found.raw != raw:
        raise StoreError(
            f"The store shows another beginning of {info.name} than it was given.",
            hint="Verify the archive, and find out who else writes to this place.",
        )
