"""The archive that a backup takes unchanged secrets from: found, opened and proven before anything of it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...formats.errors import ArchiveError, OtherSystem, UnknownSigner, WrongPassword
from ...formats.v2.head import Head
from ...stages.archive.download import read_head
from ...stages.errors import KleidiaError, ObjectMissing, StoreError, VaultError
from ...stages.vault.incremental.earlier import Earlier, small
from ...stages.vault.incremental.outcome import FullRead, Why
from ...stages.vault.incremental.table import ChunkTable
from ...stages.vault.incremental.taking import Found
from ..archives.listing import newest
from ..archives.v2 import OpenV2

if TYPE_CHECKING:
    from ...formats.v2.entries import Entry
    from ...stages.stores.base import ObjectStore
    from ..parts.keys import Keys
    from ..parts.request import BackupRequest


#: The first that fits. The vault is asked for the Transit key that opens an archive.
_WHY: tuple[tuple[type[KleidiaError], Why], ...] = (
    (WrongPassword, "no_key"),
    (VaultError, "no_key"),
    (UnknownSigner, "signer"),
    (OtherSystem, "other_system"),
    (ArchiveError, "damaged"),
    (StoreError, "store"),
)


async def find_earlier(store: ObjectStore, request: BackupRequest) -> Found:
    """The newest archive that holds secrets, if the password or a key of this backup proves it; else why not.

    Only the newest is tried: what is older than one that cannot be used is not looked at.
    """
    name = ""
    try:
        name = await newest(store, ("full", "vault"))
        return await _open(store, name, request)
    except (ArchiveError, StoreError, VaultError) as exc:
        if isinstance(exc, ObjectMissing) and not name:
            return Found(full=FullRead("no_archive"))
        return Found(name, full=FullRead(next(why for kind, why in _WHY if isinstance(exc, kind))))


async def _open(store: ObjectStore, name: str, request: BackupRequest) -> Found:
    info, head = await read_head(store, name)
    if not isinstance(head, Head):
        return Found(name, full=FullRead("format_v1"))
    paths = _Paths()
    archive = await OpenV2.open(store, info, head, request.password, request.keys, see=paths.see)
    if why := _unproven(archive, request.keys):
        return Found(name, full=FullRead(why))
    archive.check_signer(request.keys)
    archive.check_system(request.system)
    recorded = await archive.recorded()
    for number in paths.unlisted:  # the index of a large archive does not list all paths
        for secret in await archive.secrets_of(number):
            paths.table.add(secret.path, number)
    earlier = Earlier(paths.table, archive.secrets_of, paths.chunks)
    return Found(name, earlier, recorded.vault)


def _unproven(archive: OpenV2, keys: Keys) -> Why | None:
    """A signed archive says that its signer read all of it, so it takes from signed ones alone."""
    signer = archive.header.signer
    if keys.signing_key is not None and not (signer and keys.trusts(signer)):
        return "signer"
    return None


class _Paths:
    """Where each path is, of the chunks that are looked into; ``unlisted`` ones do not say it in the index."""

    def __init__(self) -> None:
        self.table = ChunkTable()
        self.unlisted: list[int] = []
        self.chunks = 0

    def see(self, number: int, entry: Entry) -> None:
        """A chunk of the index."""
        if entry.k != "kv" or not small(entry.raw):
            return
        self.chunks += 1
        if isinstance(entry.paths, tuple):
            for path in entry.paths:
                self.table.add(path, number)
        else:
            self.unlisted.append(number)
