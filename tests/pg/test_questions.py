"""Questions to a server that does not answer: limits and cancellations end them."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from psycopg.conninfo import make_conninfo

from kleidia_backup.demo.servers.together import PostgresServer
from kleidia_backup.stages.errors import DatabaseError, DatabaseUnreachable, ToolError
from kleidia_backup.stages.pg.server.connect import connect, one
from kleidia_backup.stages.pg.server.questions import Line, answered, side_by_side
from kleidia_backup.stages.pg.server.settings import PostgresSettings

pytestmark = pytest.mark.anyio

both = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
#: Far more seconds than a test may take.
LONG = 600


def ask(settings: PostgresSettings, *seconds: float) -> int:
    """Ask questions over one connection that take these times; how many were answered."""
    with connect(settings) as connection:
        return sum(1 for each in seconds if one(connection, "SELECT pg_sleep(%s)", (each,)) is not None)


def test_a_connection_is_closed_whatever_it_was_doing(db: Any) -> None:
    """A command whose answer nobody took is no failure of the job, and leaves no connection open."""
    with connect(db.settings) as connection:
        connection.pgconn.send_query(b"SELECT pg_catalog.pg_sleep(600)")
    assert connection.closed


def test_the_end_of_a_connection_commits_nothing(db: Any) -> None:
    """Only a COMMIT that is written does."""
    with connect(db.settings) as connection:
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE public.never (a int)")
    assert db.value("SELECT to_regclass('public.never')") is None


@both
async def test_a_question_that_nobody_answers_has_an_end(db: Any) -> None:
    """The error says what may be wrong, and which setting it was; in the thread nothing goes on."""
    settings = db.using(query_timeout=0.2).settings
    began = monotonic()
    with pytest.raises(DatabaseUnreachable, match=r"not answered within 0\.2 s") as caught:
        await answered(ask, settings, LONG, limit=settings.query_timeout)
    assert monotonic() - began < 10
    assert "query_timeout" in caught.value.hint


@both
async def test_the_limit_is_one_for_each_question(db: Any) -> None:
    """Many questions may take longer together."""
    assert await answered(ask, db.settings, *[0.2] * 6, limit=0.9) == 6


@both
async def test_a_cancellation_cuts_the_connection(db: Any, until: Any) -> None:
    """The thread does not wait for the answer to a question of its own, and asks no other."""
    seen: list[str] = []

    def twice() -> None:
        for _ in range(2):
            try:
                ask(db.settings, LONG)
            except DatabaseUnreachable as exc:
                seen.append(exc.message)

    asked = (
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%%' AND datname = current_database()"
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: answered(twice, limit=LONG))
        await until(lambda: db.value(asked.replace("%%", "%")) > 0)
        tasks.cancel_scope.cancel()
        began = monotonic()
    assert monotonic() - began < 10
    assert len(seen) == 2


@both
async def test_a_cancellation_does_not_wait_for_a_connection(db: Any) -> None:
    """Whoever takes the connection and says nothing may be waited for by libpq for long, and is not."""
    seen: list[str] = []

    def knock(settings: PostgresSettings) -> None:
        try:
            ask(settings, 0.0)
        except DatabaseUnreachable as exc:
            seen.append(exc.message)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        there = {"host": "127.0.0.1", "port": silent.getsockname()[1], "connect_timeout": LONG}
        settings = db.using(conninfo=make_conninfo(db.settings.conninfo, **there)).settings
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: answered(knock, settings, limit=LONG))
            await anyio.wait_readable(silent)
            tasks.cancel_scope.cancel()
            began = monotonic()
        assert monotonic() - began < 10
    assert len(seen) == 1


@both
async def test_what_the_server_itself_ends_is_told_as_such(db: Any) -> None:
    """A statement_timeout of the role is no lost connection."""
    settings = db.using(conninfo=db.settings.conninfo + " options='-c statement_timeout=50'").settings
    with pytest.raises(DatabaseError, match=r"ended a question .* due to statement timeout") as caught:
        await answered(ask, settings, LONG, limit=LONG)
    assert type(caught.value) is DatabaseError


def test_an_answer_is_no_lost_connection(db: Any) -> None:
    """Also of a class that psycopg calls operational: a lock, a limit, a state that does not fit."""

    def refused() -> None:
        with connect(db.settings) as connection:
            connection.execute("CREATE TEMP SEQUENCE s")
            connection.execute("SELECT currval('s')")

    with pytest.raises(DatabaseError, match=r"answered with an error .*not yet defined") as caught:
        refused()
    assert type(caught.value) is DatabaseError


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate that nobody knows."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
    ).sign(key, hashes.SHA256())
    path: Path = tmp_path_factory.mktemp("tls") / "both.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


async def test_tls_changes_nothing(db: Any, postgres_server: PostgresServer, tls: ssl.SSLContext) -> None:
    """A connection with TLS is cut as well, by its limit and by a cancellation."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak TLS in the server's place, as the client asks for it by its first eight bytes."""
        await reader.readexactly(8)
        writer.write(b"S")
        await writer.start_tls(tls)
        upstream, downstream = await asyncio.open_connection(postgres_server.host, postgres_server.port)
        pumps = [asyncio.ensure_future(pump(reader, downstream)), asyncio.ensure_future(pump(upstream, writer))]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for each in pumps:
            each.cancel()
        downstream.close()
        writer.close()

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        settings = db.using(conninfo=make_conninfo(db.settings.conninfo, port=port, sslmode="require")).settings
        assert await answered(ask, settings, 0, limit=LONG) == 1
        with pytest.raises(DatabaseUnreachable, match="not answered"):
            await answered(ask, db.using(conninfo=settings.conninfo, query_timeout=0.2).settings, LONG, limit=0.2)
        with anyio.move_on_after(0.3) as scope:
            await answered(ask, settings, LONG, limit=LONG)
        assert scope.cancelled_caught


def test_a_number_that_is_somebody_elses_now_is_left_alone() -> None:
    """A connection that fails closes its descriptor at once, and the next socket gets that number."""
    line = Line()
    one_end, other_end = socket.socketpair()
    line.hold(one_end.fileno())
    number = one_end.detach()
    os.close(number)
    here, there = socket.socketpair()
    with other_end, here, there:
        assert number in (here.fileno(), there.fileno())
        line.cut()
        here.sendall(b"whole")
        assert there.recv(5) == b"whole"
        assert other_end.recv(1) == b""
    line.release()


def test_what_is_left_open_is_not_cut() -> None:
    """A connection that outlives its questions, as that of the lock does, belongs to somebody else."""
    line = Line()
    one_end, other_end = socket.socketpair()
    with one_end, other_end:
        line.hold(one_end.fileno())
        line.let_go()
        line.cut()
        one_end.sendall(b"whole")
        assert other_end.recv(5) == b"whole"


@both
@pytest.mark.parametrize("fails", [0, 1])
async def test_two_things_at_once(fails: int) -> None:
    """Both answers; or the error of one, with the other cancelled."""
    cancelled: list[int] = []

    async def question(place: int) -> int:
        if place == fails:
            raise ToolError("no such program")
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(place)
        return place

    async def number(given: int) -> int:
        return given

    assert await side_by_side(lambda: number(1), lambda: number(2)) == (1, 2)
    with pytest.raises(ToolError):
        await side_by_side(lambda: question(0), lambda: question(1))
    assert cancelled in ([1 - fails], [])
