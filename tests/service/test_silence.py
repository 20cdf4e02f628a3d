"""A control database that takes questions and says nothing: a replica notices, says so, and goes on when it is back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import anyio
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from kleidia_backup import PostgresSettings
from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.service.api.app import create_app
from kleidia_backup.service.control import database
from kleidia_backup.service.service import Service
from kleidia_backup.service.work.queue import _connector

from ..faults.proxy import Strike, pg_proxy
from .asking import MEDIA_TYPE, asking
from .conftest import ended, new_backup

pytestmark = pytest.mark.anyio


async def test_a_silent_control_database(
    service_settings: ServiceSettings, new_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """/readyz answers 503 in time, /healthz 200, a request ends with 503; afterwards all is as before."""
    monkeypatch.setattr(database, "ANSWER", 1.0)  # as long as a request may take, besides what psycopg takes to give up
    where = conninfo_to_dict(new_database())
    async with pg_proxy(str(where["host"]), int(str(where["port"]))) as proxy:
        through = where | {"host": "127.0.0.1", "port": proxy.listens, "sslmode": "disable", "gssencmode": "disable"}
        settings = replace(service_settings, control=PostgresSettings(make_conninfo("", **through)))
        async with Service(settings) as service, asking(create_app(service)) as admin:
            assert (await admin.get("/readyz")).status_code == 200
            proxy.plan = (Strike({0}, ever=True), "client", "stall")
            for _ in range(2):
                with anyio.fail_after(15):
                    answer = await admin.get("/readyz")
                assert (answer.status_code, answer.headers["Content-Type"]) == (503, MEDIA_TYPE)
                assert "does not answer" in answer.json()["detail"]
            assert (await admin.get("/healthz")).status_code == 200
            with anyio.fail_after(15):
                assert (await admin.get("/api/backup/jobs")).status_code == 503
            await proxy.release()
            with anyio.fail_after(15):
                while (await admin.get("/readyz")).status_code != 200:  # noqa: ASYNC110 - another server
                    await anyio.sleep(0.1)
            job = await ended(service, (await service.submit(new_backup())).id)
            assert (job.status, job.error) == ("completed", None)


def test_connections_that_live_for_months_notice_a_peer_that_vanished() -> None:
    """Of the pools, the queue's as well: keepalives, and a limit for what is sent and never taken."""
    told = conninfo_to_dict(database.lively(PostgresSettings("host=db.example dbname=control")))
    assert {"keepalives_idle", "keepalives_interval", "keepalives_count", "connect_timeout"} <= told.keys()
    assert told["tcp_user_timeout"] == "30000"
    own = database.lively(PostgresSettings("host=db.example tcp_user_timeout=5000"))
    assert conninfo_to_dict(own)["tcp_user_timeout"] == "5000"


def test_a_database_that_is_back_is_noticed() -> None:
    """The pools double their pauses until they give up and the next question tries at once, so they give up early."""
    settings = PostgresSettings("host=db.example dbname=control")
    for pool in (
        database.Control(settings)._pool.reconnect_timeout,
        _connector(settings)._pool_args["reconnect_timeout"],
    ):
        assert pool < 10
