"""The half of the DAG that every reading of an archive shares, and what its failures mean.

    download ─ open ─┬─ SQL
                     └─ secrets

``open`` compares the ciphertext with an earlier reading, hashes, decrypts and decompresses it, and splits the payload,
all in one hop to a thread.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..formats.errors import DamagedArchive, WrongPassword
from ..formats.payload import encode_inner_header
from ..formats.seal import TAG_SIZE, derive_key
from ..formats.secret import MAX_ITEM
from ..stages.archive_source import ArchiveSource, read_preamble
from ..stages.codec import Split
from ..stages.drain import drain
from ..stages.errors import ObjectChanged
from ..stages.fingerprint import Fingerprint, Recheck, Remember
from ..stages.steps import Decompress, Open, Sha256
from ..stages.through import Through
from .engine import MAX_CHUNK, Pipeline, in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..formats.secret import Secret
    from ..formats.v1 import Header, Preamble
    from ..stages.stores.base import ObjectInfo, ObjectStore
    from ..stages.stores.directory import DirectorySettings
    from ..stages.stores.s3_settings import S3Settings
    from ..stages.through import Step
    from .engine import Edge
    from .job import Job


@dataclass(frozen=True, slots=True)
class OpenArchive:
    """An archive whose preamble was read and whose key was derived; pinned to one version of the object."""

    store: ObjectStore
    info: ObjectInfo
    preamble: Preamble
    key: bytes

    def __repr__(self) -> str:
        return f"OpenArchive({self.info.name})"

    @property
    def header(self) -> Header:
        """The clear-text header."""
        return self.preamble.header

    @property
    def ciphertext_size(self) -> int:
        """Bytes of ciphertext, tag included."""
        return self.info.size - self.preamble.size

    def split(self, *, marks: Fingerprint | None = None, look: Callable[[bytes], None] | None = None) -> Split:
        """The stage that opens and splits this archive; ``look`` sees its SQL.

        Empty ``marks`` are filled by this reading; full ones hold back what the first reading did not see.
        """
        steps: list[Step] = [Sha256(expect=self.header.checksum), Open(self.key, self.preamble.nonce), Decompress()]
        if marks is not None:
            steps.insert(0, Recheck(marks) if len(marks) else Remember(marks))
        return Split(*steps, check_header=self.check_inner_header, look=look, name="open")

    def wire(self, pipeline: Pipeline, split: Split) -> tuple[Edge[bytes], Edge[Secret]]:
        """Add a reading, up to its split; returns the two edges."""
        source = pipeline.source(ArchiveSource(self.store, self.info, start=self.preamble.size))
        return pipeline.split(split, source, max_items=(MAX_CHUNK, MAX_ITEM))

    def check_inner_header(self, inner: dict[str, object]) -> None:
        """Compare the sealed header with the clear-text one, which nothing authenticates. Raises ``DamagedArchive``."""
        expected = json.loads(encode_inner_header(self.header))
        for field in ("backup_type", "includes_db", "includes_kv", "includes_audit_logs"):
            if field in inner and (type(inner[field]), inner[field]) != (type(expected[field]), expected[field]):
                raise DamagedArchive("header", f"The archive's header was changed: {field} is not what was sealed.")

    async def check_unchanged(self) -> None:
        """Read the preamble again. Raises ``ObjectChanged`` unless it is the same object still."""
        info, preamble = await read_preamble(self.store, self.info.name)
        if not info.is_same(self.info) or preamble != self.preamble:
            raise ObjectChanged(
                f"The archive {self.info.name} was replaced while it was being read.",
                hint="Nothing was restored. Find out who writes to this place, then start again.",
            )


async def open_archive(store: ObjectStore, name: str, password: str) -> OpenArchive:
    """Read an archive's preamble and derive its key. ``name`` may leave out the store's prefix.

    Raises the ``ArchiveError`` and ``StoreError`` trees.
    """
    info, preamble = await read_preamble(store, full_name(store, name))
    if info.size < preamble.size + TAG_SIZE:
        raise DamagedArchive("checksum", "The archive ends right behind its header.")
    return OpenArchive(store, info, preamble, await in_thread(derive_key, password, preamble.salt))


def full_name(store: ObjectStore | S3Settings | DirectorySettings, name: str) -> str:
    """An archive's name in the store, given with or without the store's prefix."""
    # With a prefix that is no folder, such as "backup-", a short name may begin like it.
    prefix = store.prefix if "/" in store.prefix else f"{store.prefix}backup-"
    return name if name.startswith(prefix) else store.prefix + name


async def explain(job: Job, archive: OpenArchive, error: DamagedArchive) -> DamagedArchive | WrongPassword:
    """What a damage behind the checksum really is.

    A wrong password shows as rubbish that is no gzip, long before the tag: only checksum and tag, both over the
    whole ciphertext, tell it from a damaged archive. This reads the object once more.
    """
    if error.layer == "checksum":
        return error
    pipeline = Pipeline()
    source = pipeline.source(ArchiveSource(archive.store, archive.info, start=archive.preamble.size))
    steps = Sha256(expect=archive.header.checksum), Open(archive.key, archive.preamble.nonce)
    pipeline.sink(drain, pipeline.pipe(Through(*steps), source))
    try:
        await job.run(pipeline)
    except DamagedArchive as exc:
        if exc.layer == "checksum":
            return exc
        return WrongPassword(
            "The password does not open this archive, whose checksum is right.",
            hint="Passwords are case-sensitive; use the one that was set when this backup was made.",
        )
    return error
