"""The journal of a restore: which secrets it writes, on disk before it writes them, so that they can be put back.

There is one at a time, and none when the restore was committed or undone. One that is there without a process that
holds its lock is of a restore that ended in the middle.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Self

import anyio
import msgspec

from ....formats.json.broken import BROKEN
from ....pipeline.engine import in_thread
from ...errors import Busy, ConfigurationError, UnfinishedRestore
from ...words import count, one_or_more
from . import journal_files as files
from .journal_records import (
    FORMAT,
    Back,
    Commit,
    Entry,
    JournalHeader,
    Left,
    Plan,
    Record,
    Settings,
    Write,
    WriteRefused,
    fold,
    record_of,
)

if TYPE_CHECKING:
    from ..kv.settings import VaultSettings
    from ..metadata.bring_back import Described
    from ..sink import Change

#: Bytes of the journal whose secrets are in memory at once while it is undone; one secret takes a hundred or two.
PART = 8 * 1024 * 1024

#: The secret of a line, where there is one way to write it.
_SECRET = re.compile(rb'\["[a-z]+",("[^"\\]*","[^"\\]*")')
_encode = msgspec.json.Encoder().encode
_header = msgspec.json.Decoder(JournalHeader)
_record: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A restore that ended in the middle: its archive, when it began, and how many secrets it wrote, at most.

    ``commit`` is set when it ended during PostgreSQL's COMMIT.
    """

    archive: str
    started: str
    address: str
    count: int
    commit: Commit | None = None
    namespace: str = ""
    roots: tuple[tuple[str, str, str], ...] = ()

    def is_of(self, vault: VaultSettings) -> bool:
        """Whether it wrote to this vault's roots: whose it is, where several systems share a state directory."""
        return (self.address, self.namespace, {*self.roots}) == (vault.address, vault.namespace, {*_roots(vault)})

    def error(self) -> UnfinishedRestore:
        """Why no other restore may begin now."""
        how = " It ended during COMMIT, so only PostgreSQL knows whether it took place." if self.commit else ""
        are = one_or_more(self.count, "is", "are")
        return UnfinishedRestore(
            f"A restore of {self.archive}, begun at {self.started}, is unfinished: up to "
            f"{count(self.count, 'secret')} that it wrote {are} in the vault at {self.address}.{how}",
            hint="`kleidia-backup restore --undo` puts back what was there before; "
            "`kleidia-backup restore --dismiss` leaves the vault as it is.",
            archive=self.archive,
            started=self.started,
            count=self.count,
        )


def unfinished(state: Path | None = None) -> Unfinished | None:
    """The restore that ended in the middle, if there is one; one that is running is none.

    Raises ``ConfigurationError`` when there is a journal that cannot be read.
    """
    directory = files.state_directory(state)
    if not files.exists(directory):
        return None
    try:
        lock = files.hold(directory)
    except Busy:
        return None
    try:
        return _read_unfinished(directory / files.JOURNAL)
    finally:
        os.close(lock)


def dismiss(state: Path | None = None) -> Path:
    """Remove the journal of a restore that ended in the middle, readable or not; where it was.

    Raises ``ConfigurationError`` when there is none, and ``Busy`` while that restore is running.
    """
    directory = files.state_directory(state)
    if not files.exists(directory):
        raise _nothing(directory)
    lock = files.hold(directory)
    try:
        (directory / files.JOURNAL).unlink()
    except OSError as exc:
        raise files.unusable(directory / files.JOURNAL, "removed", exc) from None
    finally:
        os.close(lock)
    return directory / files.JOURNAL


class Journal:
    """An open journal, which no other process can open meanwhile; a ``VaultSink`` passes it each write.

    ``writes`` counts them. ``commit`` is set from before PostgreSQL's COMMIT on.
    """

    def __init__(self, path: Path, header: JournalHeader, file: int, lock: int) -> None:
        self.path = path
        self.header = header
        self.writes = 0
        self.commit: Commit | None = None
        self._file = file
        self._lock = lock
        self._size = self._synced = os.fstat(file).st_size
        self._syncing = anyio.Lock()

    @classmethod
    def begin(cls, archive: str, vault: VaultSettings, state: Path | None = None, *, cluster: str = "") -> Self:
        """Make the journal of a new restore; ``cluster`` is what the vault calls itself.

        Raises ``Busy`` while another one runs, ``UnfinishedRestore`` when one ended in the middle, and
        ``ConfigurationError`` when the state directory cannot be used.
        """
        directory = files.state_directory(state)
        path = directory / files.JOURNAL
        header = JournalHeader(
            archive=archive,
            started=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            process=f"{socket.gethostname()}:{os.getpid()}",
            address=vault.address,
            namespace=vault.namespace,
            roots=_roots(vault),
            cluster=cluster,
            boot=files.boot(),
        )
        lock = files.hold(directory)
        try:
            if left := _read_unfinished(path):
                raise left.error()
            return cls(path, header, files.create(path, _encode(header) + b"\n"), lock)
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def resume(cls, state: Path | None = None) -> Self:
        """Open the journal of a restore that ended in the middle.

        Raises ``ConfigurationError`` when there is none, or none that can be used, and ``Busy`` while it is running.
        """
        directory = files.state_directory(state)
        if not files.exists(directory):
            raise _nothing(directory)
        path = directory / files.JOURNAL
        lock = files.hold(directory)
        try:
            found = _read_unfinished(path)
            if found is None:
                raise _nothing(directory)
            journal = cls(path, _read_header(path), files.reopen(path), lock)
        except BaseException:
            os.close(lock)
            raise
        journal.writes, journal.commit = found.count, found.commit
        return journal

    def check(self, vault: VaultSettings, cluster: str | None = None) -> None:
        """Raise ``ConfigurationError`` unless this is the vault that was written to.

        ``cluster`` is what the vault calls itself, None before it was asked. The address counts where that is unknown.
        """
        header = self.header
        if header.cluster and cluster != "":
            same = cluster in {header.cluster, None}
        else:
            same = header.address == vault.address
        if not same or (header.namespace, set(header.roots)) != (vault.namespace, set(_roots(vault))):
            roots = ", ".join(f"{mount}/{path}" for _, mount, path in header.roots)
            where = header.address + (f" (namespace {header.namespace})" if header.namespace else "")
            if header.cluster:
                where += f", cluster {header.cluster}"
            raise ConfigurationError(
                f"The unfinished restore wrote to another vault, or to other roots of it: {roots} at {where}.",
                hint="Configure that one, or leave it as it is by `kleidia-backup restore --dismiss`.",
                remedies=("dismiss",),
            )

    # Writing ----------------------------------------------------------------------------------------------------

    async def __call__(self, *changes: Change) -> None:
        """Record writes before they are sent, and their results.

        Raises ``ConfigurationError`` when the disk does not take it.
        """
        now = round(time(), 3)
        self._append(*[record_of(change, now) for change in changes])
        must = False
        for change in changes:
            if change.sends:
                self.writes += not change.again
                must = must or not change.planned
            must = must or change.ahead
        if must:
            await self._sync()

    async def describe(self, change: Described) -> None:
        """Record a change of a key's metadata before it is sent. Raises as ``__call__``."""
        self._append(Settings(change.mount, change.path, change.before, change.after, change.alone))
        self.writes += change.alone
        await self._sync()

    async def committing(self, transaction: str, database: str) -> None:
        """Record that the COMMIT of this transaction is sent next. Raises as ``__call__``."""
        commit = Commit(transaction, database)
        self._append(commit)
        await self._sync()
        self.commit = commit

    def record_put_back(self, entry: Entry) -> None:
        """Record that a secret is as it was before, unless no write of it happened."""
        if not entry.refused:
            self._append(Back(entry.mount, entry.path))

    def record_left(self, entry: Entry, why: str) -> None:
        """Record that a secret could not be put back."""
        self._append(Left(entry.mount, entry.path, why))

    def _append(self, *records: Record) -> None:
        lines = b"".join([_encode(record) + b"\n" for record in records])
        try:
            files.append(self._file, self._size, lines)
        except OSError as exc:
            raise files.unusable(self.path, "written", exc) from None
        self._size += len(lines)

    async def _sync(self) -> None:
        """Return when everything written so far is on the disk: one call does it for all who wait."""
        mine = self._size
        async with self._syncing:
            if self._synced < mine:
                covered = self._size
                try:
                    await in_thread(os.fsync, self._file)
                except OSError as exc:
                    raise files.unusable(self.path, "written", exc) from None
                self._synced = covered

    # Reading ----------------------------------------------------------------------------------------------------

    @property
    def parts(self) -> int:
        """Into how many parts the secrets are divided, so that none is too large for the memory."""
        return 1 + self._size // PART

    def entries(self, part: int, parts: int) -> list[Entry]:
        """The secrets of a part that are not put back yet. Blocks for as long as it takes to read the file once."""
        found: dict[tuple[str, str], Entry] = {}
        traced = _traced(self.header)
        for record in _records(self.path, lambda line: parts == 1 or _part(line, parts) == part):
            if not (traced and isinstance(record, Plan)):
                fold(found, record)
        return [entry for entry in found.values() if (entry.attempts or entry.settings) and not entry.settled]

    # Ending -----------------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether it was closed or removed."""
        return self._lock < 0

    def remove(self) -> None:
        """The restore is whole, or undone: end its journal. An empty one means as much as none."""
        if not self.closed:
            os.ftruncate(self._file, 0)
            with contextlib.suppress(OSError):
                self.path.unlink()
            self.close()

    def close(self) -> None:
        """Release its lock."""
        if not self.closed:
            os.close(self._file)
            os.close(self._lock)
            self._file = self._lock = -1


def _roots(vault: VaultSettings) -> tuple[tuple[str, str, str], ...]:
    return tuple((root.prefix, root.mount, root.path) for root in vault.roots)


def _nothing(directory: Path) -> ConfigurationError:
    return ConfigurationError(
        f"No restore is unfinished: there is no journal in {directory}.",
        hint="If there should be one, check state_dir in [backup] and KLEIDIA_STATE_DIR.",
    )


def _read_unfinished(path: Path) -> Unfinished | None:
    """The unfinished restore of a journal that no process holds; None when nothing needs to be put back."""
    sent, planned, ended, commit = 0, 0, 0, None
    try:
        files.check_owner(path)
        for record in _records(path):
            first = (isinstance(record, Write) and not record.again) or (isinstance(record, Settings) and record.alone)
            sent += first
            # Each planned write has one line here, whether it was sent or not.
            planned += isinstance(record, Plan) or (first and not (isinstance(record, Write) and record.planned))
            ended += isinstance(record, (WriteRefused, Back))
            if isinstance(record, Commit):
                commit = record
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise files.unusable(path, "read", exc) from None
    if planned == ended:
        return None
    header = _read_header(path)
    if not (count := (sent if _traced(header) else planned) - ended):
        return None
    if count < 0:
        raise ConfigurationError(
            f"{path} is damaged: it tells of the ends of more writes than were begun.",
            hint="Look up in the vault what it says of each secret; then dismiss it.",
        )
    return Unfinished(
        header.archive, header.started, header.address, count, commit, header.namespace, tuple(header.roots)
    )


def _traced(header: JournalHeader) -> bool:
    """Whether every write that was sent stands in the file: the machine has not gone down since."""
    return bool(header.boot) and header.boot == files.boot()


def _read_header(path: Path) -> JournalHeader:
    try:
        header = _header.decode(next(files.lines(path)))
    except (StopIteration, *BROKEN):
        header = None
    if header is None or header.journal != FORMAT:
        raise ConfigurationError(
            f"{path} is not a journal that this version knows.",
            hint="Undo with the version that wrote it, or `kleidia-backup restore --dismiss` and compare the vault.",
            remedies=("undo", "dismiss"),
        )
    return header


def _part(line: bytes, parts: int) -> int:
    """The part of a line, which depends on its secret alone. By its text: most lines are of another one."""
    if found := _SECRET.match(line):
        return zlib.crc32(found[1]) % parts
    record = _record.decode(line)
    return 0 if isinstance(record, Commit) else zlib.crc32(_encode((record.mount, record.path))[1:-1]) % parts


def _records(path: Path, wanted: Callable[[bytes], bool] = lambda _: True) -> Iterator[Record]:
    """Everything but the first line. Raises ``ConfigurationError`` for any other line."""
    lines = files.lines(path)
    next(lines, None)
    for number, line in enumerate(lines, 2):
        try:
            if wanted(line):
                yield _record.decode(line)
        except BROKEN:
            raise ConfigurationError(
                f"Line {number} of {path} is damaged.",
                hint="Take that line out of the file; what it says of one secret must be looked up in the vault.",
            ) from None
