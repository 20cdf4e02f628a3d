"""Keys on the command line: making them, and changing who can open an archive."""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.key_files import parsed, transit_key
from ..config.reader import read_secret
from ..formats.v2.keys.pairs import PrivateKey, PublicKey, SigningKey, UnsupportedKey
from ..pipeline.archives.rewrap import rewrap as replace_slots
from ..pipeline.reports import words
from ..stages.errors import ConfigurationError, KleidiaError
from .console import tables
from .console.exit_codes import WARNINGS
from .console.slot_words import in_words, slots_json
from .copying.sync import copy_new

if TYPE_CHECKING:
    from ..pipeline.archives.rewrap import RewrapReport
    from ..pipeline.reports.jobs import OnProgress
    from .invocation import Invocation

#: What the key's file and the table say of each kind: what it does, and where the public key goes.
_SIGNS = "signs backups", "trusted_signers in [keys] of those who restore them"
_OPENS = "opens archives", "recipients in [keys] of those who back up"


def keygen(invocation: Invocation) -> int:
    """Make a key: the secret half into a new file of mode 600, the public half to stdout."""
    given = invocation.arguments
    path: Path = given.file
    try:
        key = SigningKey.generate() if given.kind == "signing" else PrivateKey.generate(given.kind)
        public = key.public.text
    except UnsupportedKey as exc:
        raise ConfigurationError(
            str(exc), hint="Upgrade cryptography (with an OpenSSL that has ML-KEM), or make a key of --kind x25519."
        ) from None
    what, where = _SIGNS if given.kind == "signing" else _OPENS
    _write_new(path, f"# Secret: this key of kleidia-backup {what}. Its public key:\n# {public}\n{key.to_text()}\n")
    pairs = {"public key": public, "goes to": where, "secret key": f"{path}, which {what}: keep it, and a copy of it"}
    values = {"kind": given.kind, "file": str(path), "public_key": public}
    return invocation.terminal.result(values, [tables.facts(f"A key that {what}", pairs)])


#: What nobody should believe of it.
_NO_REVOCATION = (
    "This revokes nothing: who could open an archive may have kept its data key, and old copies, and old versions in a "
    "bucket that keeps them, open as before."
)
_ID = re.compile(r"[0-9a-f]{16}")
#: MOUNT/KEY; the text of a key, which may have slashes too, is none.
_TRANSIT = re.compile(r"(?!kleidia-(?:public|secret)-)[^/]+(?:/[^/]+)+")


def rewrap(invocation: Invocation) -> int:
    """Replace the key slots of archives, one after the other; exit status 8 when a key to remove had no slot."""
    store, given = invocation.store, invocation.arguments
    add = [parsed(PublicKey.parse, each, "of --add-recipient") for each in given.add_recipient]
    remove = [_id(each) for each in given.remove]
    transit = transit_key(invocation.config, given.add_transit, "--add-transit") if given.add_transit else None
    new_password = None
    if given.new_password_file is not None:
        new_password = read_secret(given.new_password_file, "new password file")
    password, keys = invocation.opening_password(), invocation.keys
    reports: list[RewrapReport] = []

    async def work(name: str, _: OnProgress) -> RewrapReport:
        return await replace_slots(
            name,
            store=store,
            password=password,
            keys=keys,
            add=add,
            add_transit=transit,
            remove=remove,
            new_password=new_password,
            drop_password=given.drop_password,
            timeout=invocation.limits.job_timeout,
        )

    for number, name in enumerate(given.name, start=1):
        try:
            reports.append(invocation.job(partial(work, name), "rewrapping", last=number == len(given.name)))
        except KleidiaError:
            if reports:
                done = ", ".join(words.printable(each.name) for each in reports)
                invocation.terminal.tell(f"Done before that: {done}.")
            raise
    absent = [f"{each.name} had no slot for the key {key}" for each in reports for key in each.absent]
    archives = [
        {
            "name": each.name,
            "changed": each.changed,
            "slots": slots_json(each.slots),
            **({"old_version": each.old_version} if each.old_version else {}),
        }
        for each in reports
    ]
    pairs = {
        each.name: "; ".join(map(in_words, each.slots)) + ("" if each.changed else " (as before)") for each in reports
    }
    shown = [tables.facts("Opened from now on by", pairs), _NO_REVOCATION]
    status = invocation.terminal.result({"archives": archives}, shown, WARNINGS if absent else 0)
    for each in absent:
        invocation.terminal.warn(each)
    for report in reports:
        if report.old_version:
            name = words.printable(report.name)
            invocation.terminal.warn(
                f"The store keeps the older version of {name}, which opens as before, as long as its rules say."
            )
        if report.changed:
            copy_new(invocation, report.name)
    return status


def _id(text: str) -> str:
    return text if _ID.fullmatch(text) or _TRANSIT.fullmatch(text) else parsed(PublicKey.parse, text, "of --remove").id


def _write_new(path: Path, text: str) -> None:
    """A file that only its owner reads, on the disk. Raises ``ConfigurationError`` when it exists already."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise ConfigurationError(
            f"{path} exists already, and may hold a key: it was not touched.", hint="Name a new file."
        ) from None
    except OSError as exc:
        raise _unwritable(path, exc) from None
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        path.unlink(missing_ok=True)
        raise _unwritable(path, exc) from None


def _unwritable(path: Path, exc: OSError) -> ConfigurationError:
    return ConfigurationError(f"{words.printable(path)} cannot be written: {exc.strerror}.", hint="Name another file.")
