"""What is executed is exactly what the cutter said, for a server: against PostgreSQL itself, with texts of a grammar.

Where a text is cut is known in two ways that are not ours. The generator knows it of the statements that it wrote. For
any other text the server does: a text sent as one simple query is cut by the server, and answered statement by
statement, which is compared with the answers to what the cutter gave one by one.
"""

from __future__ import annotations

import itertools
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import anyio
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st
from psycopg.pq import ExecStatus, TransactionStatus

from kleidia_backup.formats.sql.cut import SqlCutter, bare
from kleidia_backup.formats.sql.grammar import STRINGS
from kleidia_backup.formats.sql.pieces import Piece, Rows, Sql, Unfit
from kleidia_backup.pipeline.engine.testing import run_sink
from kleidia_backup.stages.errors import RestoreFailed
from kleidia_backup.stages.pg.execution.cleaning import Cleaning
from kleidia_backup.stages.pg.execution.executor import Executor
from kleidia_backup.stages.pg.preservation.preserve import Preservation
from kleidia_backup.stages.pg.server.connect import connect
from kleidia_backup.stages.pg.server.refusal import StatementRefused
from kleidia_backup.stages.pg.server.wire import Wire
from kleidia_backup.stages.pg.session import open_session
from kleidia_backup.stages.pg.survey import SqlFacts

from .sql_texts import TABLES, Text, soups, texts

#: Whether the thorough tests take all their rounds, and not every second one, for which CI has the time.
_ALL = os.environ.get("KLEIDIA_TEST_ALL_CASES")
#: Seconds for which each thorough test looks for texts that nobody has tried, instead of the same ones each time.
SEARCH = float(os.environ.get("KLEIDIA_TEST_FUZZ_SECONDS", "0"))


def rounds_of(short: int, long: int) -> pytest.MarkDecorator:
    """Rounds of 40 texts: with every change, and in the thorough set."""
    long = long if _ALL else long // 2
    marks = [pytest.mark.thorough, pytest.mark.timeout(SEARCH + 900)]
    return pytest.mark.parametrize(
        ("rounds", "search"),
        [pytest.param(short, 0.0, id="short"), pytest.param(long, SEARCH, id="long", marks=marks)],
    )


#: What may be refused before the server sees it; anything else is executed as the server reads it.
REASONS = (
    "a NUL byte",
    "a number that runs into a word",
    "the psql command ",
    "something behind a COPY on its line",
    "the statement ",
    "a COPY that is not from stdin, or has options",
    "a statement that changes ",
    "ends in the middle of ",
    "large objects without an end",
)
#: In an empty file, rows stand in the order in which they came.
_BEGIN = "BEGIN; TRUNCATE public.log"
#: Everything that a text can leave behind, as one text.
_STATE = rb"""
SELECT pg_catalog.concat_ws('|',
    (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', n, t), E'\n' ORDER BY l.ctid) FROM public.log l),
    (SELECT pg_catalog.count(*) FROM public.ruled), (SELECT pg_catalog.count(*) FROM public.odd),
    (SELECT pg_catalog.string_agg(pg_catalog.pg_get_functiondef(p.oid), E'\n' ORDER BY p.proname)
     FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'public'::pg_catalog.regnamespace),
    (SELECT pg_catalog.string_agg(r.definition, E'\n' ORDER BY r.rulename)
     FROM pg_catalog.pg_rules r WHERE r.schemaname = 'public'),
    (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', c.relname, a.attname, a.atttypid,
        pg_catalog.pg_get_expr(d.adbin, d.adrelid), pg_catalog.obj_description(c.oid, 'pg_class')),
        E'\n' ORDER BY c.relname, a.attnum)
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
     LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
     WHERE c.relnamespace = 'public'::pg_catalog.regnamespace))
"""

Answer = tuple[str, tuple[tuple[bytes | None, ...], ...]]


def explore(strategy: st.SearchStrategy[Any], check: Callable[[Any], None], rounds: int, search: float) -> None:
    """Try the examples of so many rounds, or others until the time for a search is up."""
    end = time.monotonic() + search
    first = secrets.randbits(32) if search else 0
    given_to = settings(
        max_examples=40,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )(given(strategy)(check))
    for number in itertools.count() if search else range(rounds):
        seed(first + number)(given_to)()
        if search and time.monotonic() > end:
            return


def pieces(text: bytes, step: int) -> Iterator[Piece]:
    """What the cutter says of a text that comes in chunks of this size."""
    cutter = SqlCutter()
    for at in range(0, len(text), step):
        yield from cutter.feed(text[at : at + step])
    yield from cutter.finish()


# What the generator knows ---------------------------------------------------------------------------------------------


@rounds_of(1, 50)
def test_every_statement_of_a_text_is_executed_once(make_database: Any, rounds: int, search: float) -> None:
    """Cut where the generator says; each leaves its rows, in order; nobody else sees them, and nothing is committed."""
    databases = []
    for default in ("on", "off"):
        databases.append(made := make_database())
        made.execute(*TABLES)
        made.execute(
            f"ALTER DATABASE {made.value('SELECT current_database()')} SET standard_conforming_strings = {default}"
        )
    outside = [psycopg.connect(each.settings.full_conninfo(), autocommit=True) for each in databases]

    def check(drawn: tuple[Text, int, int]) -> None:
        text, step, which = drawn
        data = text.text.encode()
        note(f"{text.text!r} in chunks of {step}")
        said: list[str] = []
        for piece in pieces(data, step):
            assert isinstance(piece, Sql | Rows)
            if isinstance(piece, Rows):
                said[-1] += "" if piece.behind or piece.last else piece.data.decode()
            elif bare(piece.data).strip(b";"):
                said.append(bare(piece.data).decode())
        assert said == [each.text + (each.rows or "") for each in text.made_of]
        anyio.run(restore, databases[which], outside[which], text, step)

    async def restore(database: Any, other: psycopg.Connection[Any], text: Text, step: int) -> None:
        data = text.text.encode()
        other.execute("TRUNCATE public.log")
        async with open_session(database.settings, preserve=()) as session:
            await run_sink(session, [data[at : at + step] for at in range(0, len(data), step)])
            assert session._wire is not None
            left = session._wire.execute(b"SELECT n::text, t FROM public.log ORDER BY ctid")
            assert left == [(str(n), t) for each in text.made_of for n, t in each.left]
            status = f"SELECT pg_catalog.txid_status({session.transaction}), (SELECT count(*) FROM public.log)"
            assert other.execute(status.encode()).fetchall() == [("in progress", 0)]
        assert session.report.rolled_back
        assert other.execute(status.encode()).fetchall() == [("aborted", 0)]

    try:
        explore(st.tuples(texts(), st.sampled_from([1, 7, 4096]), st.integers(0, 1)), check, rounds, search)
    finally:
        for connection in outside:
            connection.close()


# What the server knows ------------------------------------------------------------------------------------------------


class Recording(Wire):
    """Keeps what the server answered to the text's own statements."""

    def __init__(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        super().__init__(connection)
        self.answers: list[Answer] = []

    def run(self, statement: bytes) -> None:
        """As ever, but for the rows of the answer, which are looked at here."""
        self.answers.append(answer(self._last(statement, lambda: self._pg.send_query_params(statement, None))))

    def end_rows(self, statement: bytes) -> int:
        stored = super().end_rows(statement)
        self.answers.append(("COPY", ()))
        return stored


def answer(result: Any) -> Answer:
    """The command's tag, and a query's rows: only a simple query shows those of a rule's actions."""
    tag = (result.command_status or b"").decode()
    rows = range(result.ntuples if tag.startswith("SELECT") else 0)
    return "COPY" if tag.startswith("COPY") else tag, tuple(
        tuple(result.get_value(row, column) for column in range(result.nfields)) for row in rows
    )


@dataclass
class Outcome:
    """``answers`` up to the end, or up to what was refused: by the server (``code``) or by us (``why``)."""

    answers: list[Answer] = field(default_factory=list)
    code: str = ""
    why: str = ""
    state: object = None


def executed(wire: Recording, connection: Any, text: bytes, step: int) -> Outcome:
    """What comes of a text as a restore executes it, statement by statement."""
    wire.script(_BEGIN)
    ((transaction,),) = wire.execute(b"SELECT pg_catalog.txid_current()::text")
    executor = Executor(wire, transaction, Preservation(), Cleaning(wire, connection, SqlFacts(), ()))
    executor._end_cleaning()
    wire.answers.clear()
    outcome = Outcome(wire.answers)
    try:
        for at in range(0, len(text), step):
            executor.feed(text[at : at + step])
        executor.finish()
        executor.check_transaction()
        outcome.state = wire.execute(_STATE)
    except StatementRefused as exc:
        outcome.code = exc.code or "lost"
    except RestoreFailed as exc:
        outcome.why = str(exc)
    outcome.answers = wire.answers[:]
    ended(wire, connection, transaction)
    return outcome


def ended(wire: Wire, connection: Any, transaction: str) -> None:
    """Roll back; whatever the text was, its transaction was still there to be rolled back."""
    pg = connection.pgconn
    if pg.transaction_status == TransactionStatus.ACTIVE:  # in the middle of rows
        pg.put_copy_end(b"no more")
        while pg.get_result() is not None:
            pass
    assert pg.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR)
    wire.script("ROLLBACK")
    ((status,),) = wire.execute(b"SELECT pg_catalog.txid_status($1::bigint)", transaction)
    assert status == "aborted"


@dataclass
class Part:
    """A part of a text that can be one simple query: ``rows`` go with the COPY that is its last statement."""

    query: bytes = b""
    rows: bytes | None = None


def parts(text: bytes, step: int, statements: int, *, whole: bool) -> list[Part]:
    """The text in parts, up to its statement of that number; ``whole``: and what follows it."""
    out = [Part()]
    count = 0
    done = False
    current = b""
    try:
        for piece in pieces(text, step):
            if isinstance(piece, Rows):
                out[-1].rows = (out[-1].rows or b"") + (b"" if piece.last or piece.behind else piece.data)
                if piece.last:
                    count += 1
                    out.append(Part())
                continue
            if count >= statements and not whole:
                break
            current += piece.data
            if not isinstance(piece, Sql) or not piece.last:
                continue
            statement = bare(current)
            out[-1].query += current
            current = b""
            if statement.strip(b";") and statement[:4].lower() != b"copy":
                count += 1
            if STRINGS.match(statement):
                out.append(Part())
    except Unfit:
        done = True
    if whole and not done:
        out[-1].query += current
    return out


def served(connection: Any, in_parts: list[Part]) -> Outcome:
    """What comes of a text when the server cuts it itself."""
    pg = connection.pgconn
    pg.exec_(_BEGIN.encode())
    outcome = Outcome()
    for part in in_parts:
        pg.send_query(part.query)
        while (result := pg.get_result()) is not None:
            if result.status == ExecStatus.COPY_IN:
                pg.put_copy_data(part.rows or b"")
                pg.put_copy_end()
            elif result.status in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
                outcome.answers.append(answer(result))
            elif result.status != ExecStatus.EMPTY_QUERY and not outcome.code:
                outcome.code = (result.error_field(ord("C")) or b"").decode()
        if outcome.code:
            break
    if not outcome.code:
        outcome.state = tuple_of(pg.exec_(_STATE))
    pg.exec_(b"ROLLBACK")
    return outcome


def tuple_of(result: Any) -> list[tuple[str, ...]]:
    """As ``Wire.execute`` gives rows."""
    return [tuple((value or b"").decode() for value in row) for row in answer(result)[1]]


@rounds_of(8, 500)
def test_any_text_is_cut_as_the_server_cuts_it(make_database: Any, rounds: int, search: float) -> None:
    """The same answers and the same state, whatever the text; and where one refuses it, the other does."""
    database = make_database()
    database.execute(*TABLES)
    with connect(database.settings) as ours, connect(database.settings) as theirs:
        for connection in (ours, theirs):
            connection.execute("SET client_min_messages = error")
            connection.execute("SET statement_timeout = '20s'")
        wire = Recording(ours)

        def check(drawn: tuple[str, int]) -> None:
            text, step = drawn[0].encode(), drawn[1]
            note(f"{text!r} in chunks of {step}")
            mine = executed(wire, ours, text, step)
            if mine.why:
                assert any(reason in mine.why for reason in REASONS), mine.why
                there = served(theirs, parts(text, step, len(mine.answers), whole=False))
                assert there.answers == mine.answers
                if "middle of a literal" in mine.why or "middle of a function" in mine.why:
                    assert served(theirs, parts(text, step, 0, whole=True)).code
                return
            there = served(theirs, parts(text, step, 0, whole=True))
            if mine.code:
                assert there.code
                assert mine.code != "lost"
                assert there.answers == mine.answers[: len(there.answers)]
            else:
                assert (there.code, there.answers, there.state) == ("", mine.answers, mine.state)

        explore(st.tuples(soups(), st.sampled_from([1, 7, 4096])), check, rounds, search)
