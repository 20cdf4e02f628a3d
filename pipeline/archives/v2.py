"""Archives of format V2: how one is written, and how it is read.

    write    chunks of SQL ─ (merge) ─ zstd ─┐
                                             ├─ tar ─ seal ─ sha256
             secrets ─ group ─ zstd ─────────┘

    read     download ─ open ─ unpack ─┬─ SQL
                                       └─ secrets

The head and the index are read first, by small ranged reads; then only the chunks that are wanted. Each segment is
authenticated and each chunk compared with the index before anybody sees it, so that one reading is enough.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from ...formats.crypto.digest import Sha256
from ...formats.errors import DamagedArchive
from ...formats.secret import MAX_ITEM, Secret
from ...formats.v2.body import PLAIN, Body, OpenSpans
from ...formats.v2.chunks import MAX_RAW
from ...formats.v2.floe import HEADER, Sealer, Segments
from ...formats.v2.frames import Compress
from ...formats.v2.head import Head, encode_head, facts_digest, payload_key
from ...formats.v2.index import Index, check_digest
from ...formats.v2.keys import signature
from ...formats.v2.keys.pairs import VerifyKey
from ...formats.v2.payload import Layout, take_end
from ...formats.v2.recorded import Recorded, read_begin
from ...formats.v2.tar import BLOCK, Locator, padded
from ...stages.archive.cut import MAX_CUT, MAX_GROUP, CutSql, GroupSecrets
from ...stages.archive.download import read_head, read_range
from ...stages.archive.merge import MergeRows
from ...stages.archive.pack import Pack
from ...stages.archive.row_digests import CompareRows
from ...stages.archive.spans import SpanSource
from ...stages.archive.unpack import Unpack, open_secrets
from ...stages.archive.upload import PART, ArchiveSink
from ...stages.pg.survey import SqlSurvey
from ..engine import MAX_CHUNK, Edge, Map, Pipeline, drain, in_thread
from .again import wire_again
from .reading import Look, LookAtSql, OpenArchive, Reading, Verified, changed
from .slots import check_signer, find_data_key, make_slots, transit_slots

if TYPE_CHECKING:
    from ...formats.sql.pieces import Text
    from ...formats.v2.chunks import Chunk
    from ...formats.v2.entries import Entry
    from ...formats.v2.facts import ArchiveFacts
    from ...stages.extract.choose import Choose
    from ...stages.stores.base import ObjectInfo, ObjectStore
    from ..job import Job
    from ..parts.keys import Keys
    from ..parts.names import PartName
    from ..parts.request import Sealing

#: Who is shown the number and the line of each chunk of an index.
See: TypeAlias = "Callable[[int, Entry], None]"
#: Chunks of SQL that are compressed at once. Of secrets it is one, for a vault is slower.
WORKERS = 2


class WriteV2:
    """An archive that is being written. ``checksum`` is SHA-256 over the whole file, final when the pipeline ended."""

    depth: int | None = 1

    def __init__(self, facts: ArchiveFacts, head: bytes, data_key: bytes, request: Sealing) -> None:
        self._facts = facts
        #: As of ``WriteV1``. What the archive has nothing of takes no room.
        self.max_item = MAX_CUT if facts.includes_db else MAX_CHUNK
        self._largest_group = MAX_GROUP if facts.includes_kv else MAX_CHUNK
        self._recorded = Recorded()
        self._level = request.level
        self._signing_key = request.keys.signing_key
        self._head = head
        self._sealer = Sealer(payload_key(data_key), facts_digest(facts.encode()))
        self._digest = Sha256()
        self._digest.feed(head)

    @classmethod
    async def begin(cls, request: Sealing, facts: ArchiveFacts) -> WriteV2:
        """Make a data key and its slots. Raises ``ConfigurationError``, ``PayloadError``, ``VaultError``."""
        data_key, keys = os.urandom(32), request.keys
        password = request.password if keys.password_slot else None
        slots = await in_thread(make_slots, data_key, facts_digest(facts.encode()), password, keys.recipients)
        slots += await transit_slots(data_key, keys.transit)
        return cls(facts, encode_head(facts, slots, data_key), data_key, request)

    @property
    def checksum(self) -> str:
        """In hex."""
        return self._digest.hexdigest

    def record(self, recorded: Recorded) -> None:
        """Keep what is known of the servers, beside what they hold."""
        self._recorded = recorded

    def cut(self, pipeline: Pipeline, sql: Edge[bytes]) -> Edge[Chunk]:
        """What ``wire`` takes of SQL."""
        return pipeline.pipe(CutSql(), sql, max_item=self.max_item, depth=1)

    def wire(
        self, pipeline: Pipeline, sql: Edge[Chunk], secrets: Edge[Secret], rows: Sequence[Edge[Chunk]] = ()
    ) -> Edge[bytes]:
        """From the two parts to ciphertext; ``rows`` are put into the SQL."""
        compress = Compress(self._level)
        if rows:
            sql = pipeline.pipe(MergeRows(), [sql, *rows], max_item=self.max_item, depth=1)
        largest = self.max_item
        frames = pipeline.pipe(Map(compress, workers=WORKERS, max_item=largest), sql, max_item=largest, depth=1)
        # Next to no secret is as large as one may be: the less room, the less is promised for nothing.
        largest = self._largest_group
        groups = pipeline.pipe(GroupSecrets(), secrets, max_item=largest, depth=0)
        pack = Map(compress, workers=1, max_item=largest, name="zstd secrets")
        packed = pipeline.pipe(pack, groups, max_item=largest, depth=0)
        facts, sign = self._facts.encode(), None
        if self._signing_key is not None:
            sign = partial(signature.sign, self._signing_key, facts_digest(facts))
        self._pack = Pack(self._facts.created_at, self._recorded.begin(facts), sign)
        return pipeline.pipe(self._pack, frames, packed).through(self._sealer, self._digest)

    def sql_bytes(self, sql: Edge[Any]) -> int:  # noqa: ARG002 - there may be several
        """Bytes of SQL in it, when the pipeline ended."""
        return self._pack.sql_bytes

    def sink(self, store: ObjectStore, name: str, part_size: int | None) -> ArchiveSink:
        """The end of the pipeline: parts in order."""
        return ArchiveSink(store, name, preamble=self._head, part_size=part_size or PART)


class OpenV2(OpenArchive):
    """An archive whose head, key and index are known."""

    def __init__(
        self,
        store: ObjectStore,
        info: ObjectInfo,
        head: Head,
        body: Body,
        segments: Segments,
        choose: Choose | None = None,
        see: See | None = None,
    ) -> None:
        self.store = store
        self.info = info
        self.head = head
        self._body = body
        self._segments = segments
        self._choose = choose
        self._see = choose.see if choose else see
        self._layout: Layout

    @classmethod
    async def open(
        cls,
        store: ObjectStore,
        info: ObjectInfo,
        head: Head,
        password: str | None,
        keys: Keys,
        choose: Choose | None = None,
        see: See | None = None,
    ) -> OpenV2:
        """Find the data key, and read the index, of which ``see`` is shown each chunk (see ``Index.parse``).

        Raises ``WrongPassword``, ``DamagedArchive`` and ``StoreError``.
        """
        data_key = await find_data_key(head, password, keys)
        body = Body.of(head.size, info.size)
        begin = await read_range(store, info, body.start, HEADER)
        archive = cls(store, info, head, body, Segments(payload_key(data_key), head.facts_digest, begin), choose, see)
        await archive._read_index()
        return archive

    @property
    def header(self) -> ArchiveFacts:
        """Its facts."""
        return self.head.facts

    @property
    def signer(self) -> VerifyKey | None:
        """As in ``OpenArchive``: the signature was checked."""
        return VerifyKey(self.header.signer) if self.header.signer else None

    @property
    def ciphertext_size(self) -> int:
        """Bytes of the body."""
        return self.info.size - self.head.size

    @property
    def index(self) -> Index:
        """What it holds."""
        return self._layout.index

    async def look(
        self,
        job: Job,
        secrets: Look = drain,
        *,
        sql: LookAtSql = drain,
        characters: bool = False,
        only: PartName | None = None,
    ) -> Verified:
        """As in ``OpenArchive``: the statements and the secrets, but no rows unless ``characters`` are asked for.

        Comments alone are read for who takes the ``sql``.
        """
        chunks = self._chunks(only)
        if not characters:
            chunks = [at for at in chunks if self._states(self.index.entries[at], comments=sql is not drain)]
        return await self._survey(job, secrets, chunks, SqlSurvey(characters=characters), sql=sql)

    async def verify(self, job: Job, survey: SqlSurvey | None = None) -> Verified:
        """As in ``OpenArchive``."""
        await self._begin()
        every = range(len(self.index.entries))
        return await self._survey(job, drain, every, survey or SqlSurvey(), sql=CompareRows(self.index))

    async def recorded(self) -> Recorded:
        """As in ``OpenArchive``."""
        return read_begin(await self._begin())

    async def secrets_of(self, number: int) -> list[Secret]:
        """Those of one chunk. Raises ``DamagedArchive`` and ``StoreError``."""
        block = await self._plain(*self._layout.span(number))
        return await in_thread(lambda: open_secrets(self._layout, number, self._layout.content(number, block)))

    async def _begin(self) -> bytes:
        return self._layout.check_begin(await self._plain(0, BLOCK + padded(self.index.begin.n)))

    async def _survey(
        self,
        job: Job,
        secrets: Look,
        chunks: Sequence[int],
        survey: SqlSurvey,
        *,
        sql: LookAtSql = drain,
    ) -> Verified:
        pipeline = Pipeline()
        kinds = {self.index.entries[at].k for at in chunks}
        reading = self._wire(pipeline, chunks, survey.feed if "sql" in kinds else None)
        pipeline.sink(partial(survey.end, use=sql), reading.sql, name="SQL")
        pipeline.sink(secrets, reading.secrets, name="secrets")
        job.begin("verify", archive_total=self._ciphertext(chunks))
        snapshot = await job.run(pipeline, reading.progress)
        end = self.index.end
        if "sql" in kinds and "rows" not in kinds:
            for copy in self.index.copies:
                survey.add_rows(copy.copy.encode(), copy.rows)
        return Verified(
            facts=survey.facts,
            sql_bytes=end.sql_bytes,
            secrets=reading.secrets.items if self._choose else end.secrets,
            stages=snapshot.stages,
            sql_first=True,
        )

    def wire(self, pipeline: Pipeline, verified: Verified | None, *, only: PartName | None = None) -> Reading:  # noqa: ARG002 - chunks are known by the index
        """As in ``OpenArchive``."""
        if only == "vault" and (again := wire_again(pipeline, self.store, self.info, self._choose)):
            return again
        return self._wire(pipeline, self._chunks(only), None)

    async def look_first(self, job: Job) -> Verified | None:  # noqa: ARG002 - the index is known
        """As in ``OpenArchive``: nothing."""
        return None

    def wire_schema(self, pipeline: Pipeline, known: Verified | None, survey: SqlSurvey) -> Reading:  # noqa: ARG002 - as above
        """As in ``OpenArchive``: no rows are read."""
        chunks = [at for at, entry in enumerate(self.index.entries) if entry.k == "sql" and self._states(entry)]
        return self._wire(pipeline, chunks, survey.feed)

    def wire_rows(self, pipeline: Pipeline, verified: Verified | None, wanted: Callable[[str], bool]) -> Reading:  # noqa: ARG002 - as above
        """As in ``OpenArchive``: no other chunk is read."""
        numbers = {copy.t for copy in self.index.copies if wanted(copy.copy)}
        chunks = [at for at, entry in enumerate(self.index.entries) if entry.k == "rows" and entry.t in numbers]
        return self._wire(pipeline, chunks, None)

    def read_by(self, only: PartName | None) -> int:
        """As in ``OpenArchive``."""
        kept = only == "vault" and self._choose is not None and self._choose.again() is not None
        return 0 if kept else self._ciphertext(self._chunks(only))

    def _chunks(self, only: PartName | None) -> list[int]:
        """The numbers of the chunks of one part, or of all."""
        kinds = {"database": ("sql", "rows"), "vault": ("kv",)}[only] if only else ("sql", "rows", "kv")
        if self._choose and only == "vault":
            return self._choose.chunks
        return [at for at, entry in enumerate(self.index.entries) if entry.k in kinds]

    @staticmethod
    def _states(entry: Entry, *, comments: bool = False) -> bool:
        """Whether a chunk holds something else than rows and, unless they count too, than ``comments``.

        Each stands in a segment of its own between large tables.
        """
        return entry.k != "rows" and (comments or not entry.blank)

    def _wire(
        self,
        pipeline: Pipeline,
        chunks: Sequence[int],
        look: Callable[[Text], None] | None,
    ) -> Reading:
        spans = self._body.spans(map(self._layout.span, chunks))
        source = SpanSource(self.store, self.info, [self._body.place(*span) for span in spans])
        ciphertext = pipeline.source(source)
        unpack = Unpack(self._layout, chunks, spans, look=look)
        payload = ciphertext.through(OpenSpans(self._segments, self._body, spans))
        sql, secrets = pipeline.split(unpack, payload, max_items=(MAX_RAW, MAX_ITEM))
        if self._choose:
            secrets = pipeline.pipe(self._choose, secrets, max_item=MAX_ITEM)
        return Reading(ciphertext, sql, secrets)

    def _ciphertext(self, chunks: Sequence[int]) -> int:
        spans = self._body.spans(map(self._layout.span, chunks))
        return sum(end - start for start, end in (self._body.place(*span) for span in spans))

    async def check_password(self) -> None:
        """As in ``OpenArchive``: what is open was opened by it."""

    def check_signer(self, keys: Keys) -> None:
        """As in ``OpenArchive``."""
        check_signer(self.head, keys)

    async def check_unchanged(self) -> None:
        """As in ``OpenArchive``: its head is read again."""
        info, head = await read_head(self.store, self.info.name)
        if not info.is_same(self.info) or head != self.head:
            raise changed(self.info)

    async def _read_index(self) -> None:
        """The last segment first, then what the locator says; nothing is read twice."""
        size = self._body.payload
        if size < BLOCK:
            raise DamagedArchive("index", "The archive's payload is too short for an index.")
        begin = (size - BLOCK) // PLAIN * PLAIN  # where the locator's segment begins
        end = await self._plain(begin, size)
        locator = Locator.parse(end[-BLOCK:], size)
        at = locator.index - BLOCK
        if at < 0:
            raise DamagedArchive("index", "The archive's last block contradicts itself.")
        end = end[at - begin : -BLOCK] if at >= begin else await self._plain(at, begin) + end[:-BLOCK]
        self._layout = await in_thread(self._parse_index, locator, end)

    def _parse_index(self, locator: Locator, end: bytes) -> Layout:
        facts = self.head.facts
        check_digest(end[BLOCK : BLOCK + locator.size], locator.digest)
        stored, signed = take_end(end, locator, facts.created_at)
        if bool(signed) != bool(facts.signer):
            raise DamagedArchive("signature", "The archive names a signer and has no signature, or the reverse.")
        if signed:
            signature.check(facts.signer, signed, self.head.facts_digest, locator.digest)
        # Only now is it decompressed: a stranger's is not looked into (section 9).
        index = Index.parse(stored, locator.digest, self._see)
        layout = Layout(index, locator, facts.created_at)
        for part, included, found in (
            ("SQL", facts.includes_db, any(entry.k != "kv" for entry in index.entries)),
            ("secrets", facts.includes_kv, bool(index.end.secrets)),
        ):
            if found and not included:
                raise DamagedArchive("index", f"The archive holds {part}, which its facts deny.")
        if self._choose:
            self._choose.check_index()
        return layout

    async def _plain(self, start: int, end: int) -> bytes:
        """Some bytes of the payload, held in memory."""
        first, behind = start // PLAIN, -(-end // PLAIN)
        where = self._body.place(first, behind)
        data = await read_range(self.store, self.info, where[0], where[1] - where[0])
        opener = OpenSpans(self._segments, self._body, [(first, behind)])

        def opened() -> bytes:
            return b"".join((*opener.feed(data), *opener.finish()))

        return (await in_thread(opened))[start - first * PLAIN : end - first * PLAIN]
