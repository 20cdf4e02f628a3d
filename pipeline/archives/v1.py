"""Archives of format V1: how one is written, and how it is read.

    write    assemble ─ gzip ─ seal ─ sha256

    read     download ─ remember or recheck ─ sha256 ─ open ─ gunzip ─ split ─┬─ SQL
                                                                              └─ secrets

All between the download and the two edges runs in one hop to a thread for each chunk. Plaintext comes before the tag,
so an archive is read twice: the first reading verifies everything, the second is compared with it block by block.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ...formats.codecs.gzip import GzipDecoder, GzipEncoder
from ...formats.crypto.digest import Sha256
from ...formats.crypto.seal import TAG_SIZE, Opener, Sealer, derive_key
from ...formats.errors import DamagedArchive, WrongPassword
from ...formats.secret import MAX_ITEM, Secret
from ...formats.v1.header import NONCE_SIZE, SALT_SIZE, Header, Preamble, encode_preamble
from ...formats.v1.payload import encode_inner_header
from ...formats.v1.peek import PEEK, opens
from ...stages.archive.assemble import Assemble
from ...stages.archive.download import ArchiveSource, read_head, read_range
from ...stages.archive.fingerprint import Fingerprint, Recheck, Remember
from ...stages.archive.split import Split
from ...stages.archive.upload import PART, ArchiveSink
from ...stages.pg.survey import SqlSurvey
from ..engine import MAX_CHUNK, Edge, Pipeline, drain, in_thread
from .again import wire_again
from .reading import Look, LookAtSql, OpenArchive, Reading, Verified, changed

if TYPE_CHECKING:
    from ...formats.v2.chunks import Chunk
    from ...formats.v2.recorded import Recorded
    from ...stages.extract.choose import Choose
    from ...stages.stores.base import ObjectInfo, ObjectStore
    from ..job import Job
    from ..parts.names import PartName
    from ..parts.request import Sealing


class WriteV1:
    """An archive that is being written. ``checksum`` is that of its header, final when the pipeline ended."""

    #: Of the edge of SQL: bytes of an item at most, and its depth.
    max_item = MAX_CHUNK
    depth: int | None = None

    def __init__(self, header: Header, key: bytes, salt: bytes) -> None:
        self._header = header
        self._salt, self._nonce = salt, os.urandom(NONCE_SIZE)
        self._key = key
        self._digest = Sha256()

    @classmethod
    async def begin(cls, request: Sealing, header: Header) -> WriteV1:
        """Derive the key."""
        salt = os.urandom(SALT_SIZE)
        assert request.password is not None  # the request saw to it
        return cls(header, await in_thread(derive_key, request.password, salt), salt)

    @property
    def checksum(self) -> str:
        """SHA-256 over the ciphertext, in hex."""
        return self._digest.hexdigest

    def record(self, recorded: Recorded) -> None:
        """As of ``WriteV2``: format V1 has no place for it."""

    def wire(
        self,
        pipeline: Pipeline,
        sql: Edge[bytes],
        secrets: Edge[Secret],
        rows: Sequence[Edge[Chunk]] = (),  # noqa: ARG002 - refused by the request
    ) -> Edge[bytes]:
        """From the two parts to ciphertext."""
        sealer = Sealer(self._key, self._nonce)
        return pipeline.pipe(Assemble(self._header), sql, secrets).through(GzipEncoder(), sealer, self._digest)

    def cut(self, pipeline: Pipeline, sql: Edge[bytes]) -> Edge[bytes]:  # noqa: ARG002 - as it is
        """What ``wire`` takes of SQL."""
        return sql

    def sql_bytes(self, sql: Edge[bytes]) -> int:
        """Bytes of SQL in it, when the pipeline ended."""
        return sql.bytes

    def sink(self, store: ObjectStore, name: str, part_size: int | None) -> ArchiveSink:
        """The end of the pipeline."""

        def preamble() -> bytes:
            return encode_preamble(replace(self._header, checksum=self.checksum), self._salt, self._nonce)

        empty = encode_preamble(self._header, self._salt, self._nonce)
        return ArchiveSink(store, name, preamble=empty, late=preamble, part_size=part_size or PART)


class OpenV1(OpenArchive):
    """An archive whose preamble was read and whose key was derived."""

    def __init__(
        self, store: ObjectStore, info: ObjectInfo, preamble: Preamble, key: bytes, choose: Choose | None = None
    ) -> None:
        self.store = store
        self.info = info
        self.preamble = preamble
        self.key = key
        self._choose = choose

    @classmethod
    async def open(
        cls,
        store: ObjectStore,
        info: ObjectInfo,
        preamble: Preamble,
        password: str | None,
        choose: Choose | None = None,
    ) -> OpenV1:
        """Derive the key. Raises ``DamagedArchive``, and ``WrongPassword`` where there is none."""
        if password is None:
            raise WrongPassword("Only a password opens an archive of format V1.", hint="Give the one of its time.")
        if info.size < preamble.size + TAG_SIZE:
            raise DamagedArchive("checksum", "The archive ends right behind its header.")
        return cls(store, info, preamble, await in_thread(derive_key, password, preamble.salt), choose)

    @property
    def header(self) -> Header:
        """The clear-text header."""
        return self.preamble.header

    @property
    def ciphertext_size(self) -> int:
        """Bytes of ciphertext, tag included."""
        return self.info.size - self.preamble.size

    async def look(
        self,
        job: Job,
        secrets: Look = drain,
        *,
        sql: LookAtSql = drain,
        characters: bool = False,
        only: PartName | None = None,  # noqa: ARG002 - it is read whole
    ) -> Verified:
        """As in ``OpenArchive``: the first reading, to its last byte."""
        return await self._look(job, secrets, SqlSurvey(characters=characters), sql)

    async def _look(self, job: Job, secrets: Look, survey: SqlSurvey, sql: LookAtSql = drain) -> Verified:
        marks = Fingerprint()
        pipeline = Pipeline()
        reading, split = self._wire(pipeline, Remember(marks), survey.feed)
        pipeline.sink(partial(survey.end, use=sql), reading.sql, name="SQL")
        pipeline.sink(secrets, reading.secrets, name="secrets")
        job.begin("verify", archive_total=self.ciphertext_size)
        try:
            snapshot = await job.run(pipeline, reading.progress)
        except DamagedArchive as exc:
            raise await explain(job, self, exc) from None
        for part, included, found in (
            ("SQL", self.header.includes_db, reading.sql.bytes),
            ("secrets", self.header.includes_kv, reading.secrets.items),
        ):
            if found and not included:
                raise DamagedArchive("payload", f"The archive holds {part}, which its header denies.")
        return Verified(
            facts=survey.facts,
            sql_bytes=reading.sql.bytes,
            secrets=reading.secrets.items,
            stages=snapshot.stages,
            sql_first=split.sql_first,
            marks=marks,
        )

    def read_by(self, only: PartName | None) -> int:
        """As in ``OpenArchive``."""
        kept = only == "vault" and self._choose is not None and self._choose.again() is not None
        return 0 if kept else self.ciphertext_size

    async def verify(self, job: Job, survey: SqlSurvey | None = None) -> Verified:
        """As in ``OpenArchive``."""
        return await self._look(job, drain, survey or SqlSurvey())

    def wire(self, pipeline: Pipeline, verified: Verified | None, *, only: PartName | None = None) -> Reading:
        """As in ``OpenArchive``: what the first reading did not see is held back."""
        if only == "vault" and (again := wire_again(pipeline, self.store, self.info, self._choose)):
            return again
        assert verified is not None
        assert verified.marks is not None
        return self._wire(pipeline, Recheck(verified.marks), None)[0]

    def _wire(
        self, pipeline: Pipeline, known: Remember | Recheck, look: Callable[[bytes], None] | None
    ) -> tuple[Reading, Split]:
        """The reading drawn at the top of this module; ``look`` sees its SQL, in the thread."""
        digest, opener = Sha256(expect=self.header.checksum), Opener(self.key, self.preamble.nonce)
        split = Split(check_header=self.check_inner_header, look=look)
        ciphertext = pipeline.source(ArchiveSource(self.store, self.info, start=self.preamble.size))
        payload = ciphertext.through(known, digest, opener, GzipDecoder())
        sql, secrets = pipeline.split(split, payload, max_items=(MAX_CHUNK, MAX_ITEM))
        if self._choose:
            secrets = pipeline.pipe(self._choose, secrets, max_item=MAX_ITEM)
        return Reading(ciphertext, sql, secrets), split

    def check_inner_header(self, inner: dict[str, object]) -> None:
        """Compare the sealed header with the clear-text one, which nothing authenticates. Raises ``DamagedArchive``."""
        expected = json.loads(encode_inner_header(self.header))
        for field in ("backup_type", "includes_db", "includes_kv", "includes_audit_logs"):
            if field in inner and (type(inner[field]), inner[field]) != (type(expected[field]), expected[field]):
                raise DamagedArchive("header", f"The archive's header was changed: {field} is not what was sealed.")

    async def check_password(self) -> None:
        """As in ``OpenArchive``; also raised for an archive damaged in its first bytes."""
        head = await read_range(self.store, self.info, self.preamble.size, PEEK)
        if not await in_thread(opens, self.key, self.preamble.nonce, head):
            raise WrongPassword(
                "The password does not open this archive, or its first bytes are damaged.",
                hint="Passwords are case-sensitive. A full verification tells damage from a wrong password.",
            )

    async def check_unchanged(self) -> None:
        """As in ``OpenArchive``: its preamble is read again."""
        info, preamble = await read_head(self.store, self.info.name)
        if not info.is_same(self.info) or preamble != self.preamble:
            raise changed(self.info)


async def explain(job: Job, archive: OpenV1, error: DamagedArchive) -> DamagedArchive | WrongPassword:
    """What a damage behind the checksum really is.

    A wrong password shows as rubbish that is no gzip, long before the tag: only checksum and tag, both over the
    whole ciphertext, tell it from a damaged archive. This reads the object once more. Nobody's disk changes a
    ciphertext together with its checksum: who did that meant it. Where the beginning opens it is not the password.
    """
    if error.layer == "checksum":
        return error
    pipeline = Pipeline()
    ciphertext = pipeline.source(ArchiveSource(archive.store, archive.info, start=archive.preamble.size))
    digest, opener = Sha256(expect=archive.header.checksum), Opener(archive.key, archive.preamble.nonce)
    pipeline.sink(drain, ciphertext.through(digest, opener))
    try:
        await job.run(pipeline)
    except DamagedArchive as exc:
        if exc.layer == "checksum":
            return exc
        head = await read_range(archive.store, archive.info, archive.preamble.size, PEEK)
        advice = "The password opens its beginning, so it is the right one: do"
        if not await in_thread(opens, archive.key, archive.preamble.nonce, head):
            advice = "Passwords are case-sensitive: use the one of the time of this backup. If you did, do"
        return WrongPassword(
            "Wrong password, or the archive was changed on purpose: its checksum is right, and its tag does not fit.",
            hint=f"{advice} not trust this archive, and find out who can write to this place.",
        )
    return error
