"""The audit log as a chain: what was changed, cut out or added in the database shows; and the log as CSV."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.demo.servers.together import KvMount
from kleidia_backup.service.control.audit import Actor, AuditEntry
from kleidia_backup.service.control.chain.verify import ChainReport, verify_chain
from kleidia_backup.service.control.secrets import ChainKey
from kleidia_backup.service.service import Service
from kleidia_backup.stages.errors import ConfigurationError

from .conftest import PASSWORD

pytestmark = pytest.mark.anyio

EVE = Actor(None, "=HYPERLINK(eve)", "192.0.2.66", "desk")
ENTRIES = 6
_KEEP = """
CREATE TABLE kept AS SELECT * FROM kleidia_backup.audit;
CREATE TABLE kept_ends AS SELECT * FROM kleidia_backup.audit_ends;
"""
_BRING_BACK = """
TRUNCATE kleidia_backup.audit, kleidia_backup.audit_ends;
INSERT INTO kleidia_backup.audit OVERRIDING SYSTEM VALUE SELECT * FROM kept;
INSERT INTO kleidia_backup.audit_ends SELECT * FROM kept_ends;
"""
#: What somebody does who has the database, and what shows: the fault and its place.
_FORGERIES = [
    ("UPDATE kleidia_backup.audit SET details = 'nothing' WHERE place = 2", [("changed", 2)]),
    ("UPDATE kleidia_backup.audit SET at = at - interval '1 microsecond' WHERE place = 6", [("changed", 6)]),
    ("UPDATE kleidia_backup.audit SET user_id = '' WHERE place = 1", [("changed", 1)]),
    ("UPDATE kleidia_backup.audit SET late = true WHERE place = 3", [("changed", 3)]),
    ("DELETE FROM kleidia_backup.audit WHERE place = 2", [("missing", 2)]),
    (
        (
            "DELETE FROM kleidia_backup.audit WHERE place = 2; "
            "UPDATE kleidia_backup.audit SET place = place - 1 WHERE place > 2"
        ),
        [("changed", 2), ("changed", 3), ("changed", 4), ("changed", 5), ("cut off", 6)],
    ),
    ("DELETE FROM kleidia_backup.audit WHERE place > 4", [("cut off", 5)]),
    (
        (
            "DELETE FROM kleidia_backup.audit WHERE place > 4; UPDATE kleidia_backup.audit_ends SET place = 4, "
            "code = (SELECT code FROM kleidia_backup.audit WHERE place = 4)"
        ),
        [("end changed", 4)],
    ),
    (
        "INSERT INTO kleidia_backup.audit (target, action, place, code) VALUES ('app', 'login.refused', 7, sha256(''))",
        [("added", 7)],
    ),
    ("DELETE FROM kleidia_backup.audit_ends", [("begun again", 0)]),
    ("UPDATE kleidia_backup.audit_ends SET key = 'x'", [("another key", 6)]),
    ("UPDATE kleidia_backup.audit SET duration = 'NaN', at = 'infinity' WHERE place = 5", [("changed", 5)]),
    ("INSERT INTO kleidia_backup.audit (target, action, place) VALUES ('app', 'login.refused', -1)", [("added", -1)]),
    (
        (
            "DROP INDEX kleidia_backup.audit_by_place; "
            "INSERT INTO kleidia_backup.audit (target, action, place) VALUES ('app', 'login.refused', 2)"
        ),
        [("added", 2)],
    ),
]
#: What is done to the end while the service goes on writing.
_ENDS = [
    _FORGERIES[7][0],
    "DELETE FROM kleidia_backup.audit_ends",
    "UPDATE kleidia_backup.audit_ends SET place = 2",
    "TRUNCATE kleidia_backup.audit, kleidia_backup.audit_ends",
]


@pytest.fixture
async def written(service: Service) -> Service:
    """A service with some entries, half of them written at the same time."""
    entry = AuditEntry.by(EVE, "login.refused", duration=0.1, size=2**40, details='[Scheduled] a,"b"\'c\u20ac')
    for _ in range(ENTRIES // 2):
        await service.audit.write(entry)
    await asyncio.gather(*(service.audit.write(entry) for _ in range(ENTRIES - ENTRIES // 2)))
    return service


async def verified(service: Service, **more: Any) -> ChainReport:
    found = await service.secrets.chain_key(create=False)
    return await verify_chain(service.control, service.target, found.key, found.chain, **more)


async def test_what_was_done_to_the_log_shows(written: Service, application: str) -> None:
    """A change, a cut, an addition, each by somebody who has the database; and nothing where nothing was done."""
    whole = await verified(written)
    assert (whole.entries, whole.late, whole.unchained, whole.broken) == (ENTRIES, 0, 0, ())
    with psycopg.connect(application, autocommit=True) as connection:
        connection.execute(_KEEP)
        for forgery, faults in _FORGERIES:
            connection.execute(forgery.encode())
            found = await verified(written)
            assert [(each.fault, each.place) for each in found.broken] == faults, forgery
            connection.execute(_BRING_BACK)
        connection.execute("INSERT INTO kleidia_backup.audit (target, action) VALUES ('app', 'archive.deleted')")
    assert (await verified(written)).unchained == 1
    await written.audit.write(AuditEntry(action="login.refused"))  # does not take it in
    again = await verified(written, noted=whole.end)
    assert (again.entries, again.unchained, again.broken) == (ENTRIES + 1, 1, ())
    (gone,) = (await verified(written, noted=f"{ENTRIES}:{'0' * 64}")).broken
    assert (gone.fault, gone.place) == ("cut off", ENTRIES)


async def test_no_later_entry_hides_what_was_done_to_the_end(
    written: Service, service_settings: ServiceSettings, application: str
) -> None:
    """Entries are written all the same, by the service that runs and by one that starts; the chain stays broken."""
    with psycopg.connect(application, autocommit=True) as connection:
        connection.execute(_KEEP)
        for forgery in _ENDS:
            connection.execute(forgery.encode())
            await written.audit.write(AuditEntry(action="login.refused"))
            assert (await verified(written)).broken, forgery
            connection.execute(_BRING_BACK)
        connection.execute(_ENDS[1].encode())
    async with Service(service_settings) as other:
        await other.audit.write(AuditEntry(action="login.refused"))
        assert (await verified(other)).broken


async def test_a_log_that_was_emptied_shows_for_ever(
    written: Service, service_settings: ServiceSettings, application: str
) -> None:
    """All of it deleted, and written again by a service that starts: another chain than the vault knows."""
    with psycopg.connect(application, autocommit=True) as connection:
        connection.execute("TRUNCATE kleidia_backup.audit, kleidia_backup.audit_ends")
        connection.execute("INSERT INTO kleidia_backup.audit (target, action) VALUES ('app', 'archive.deleted')")
    async with Service(service_settings) as other:
        await other.audit.write(AuditEntry(action="login.refused"))
        found = await verified(other)
    assert (found.entries, found.late) == (2, 1)
    assert [each.fault for each in found.broken] == ["begun again"]


async def test_a_key_that_is_gone_is_not_made_again(
    written: Service, service_settings: ServiceSettings, kv: KvMount, capsys: pytest.CaptureFixture[str]
) -> None:
    """The service starts all the same, and says so; entries are written, and count as late once the key is back."""
    key = kv.get("service/audit-key")
    assert key["key"] not in repr(await written.secrets.chain_key(create=False))
    await written.secrets.remove("audit-key")  # type: ignore[arg-type]  # no secret among the settings
    async with Service(service_settings) as other:
        assert "not chained yet" in capsys.readouterr().out
        await other.audit.write(AuditEntry(action="login.refused"))
        with pytest.raises(ConfigurationError, match="not in the vault any more"):
            await verified(other)
        kv.put("service/audit-key", key)
        await other.chain.begin()
        found = await verified(other)
    assert (found.entries, found.late, found.broken) == (ENTRIES + 1, 1, ())


async def test_who_dies_while_the_chain_begins_leaves_no_trace(
    service_settings: ServiceSettings, kv: KvMount, application: str
) -> None:
    """The vault has the key, the database no chain yet, or the vault was not told of it: the next start goes on."""
    dead = Service(service_settings)
    first = await dead.secrets.chain_key(create=True)  # and no COMMIT followed
    for untold in (False, True):
        if untold:  # nor did the vault learn of the COMMIT
            kv.put("service/audit-key", {"key": first.key.hex(), "chain": first.chain, "pending": "yes"})
        async with Service(service_settings) as service:
            await service.audit.write(AuditEntry(action="login.refused"))
            assert (await verified(service)).broken == ()
        assert kv.get("service/audit-key") == {"key": first.key.hex(), "chain": first.chain}
    with psycopg.connect(application, autocommit=True) as connection:
        connection.execute("TRUNCATE kleidia_backup.audit, kleidia_backup.audit_ends")
    async with Service(service_settings) as service:
        assert [each.fault for each in (await verified(service)).broken] == ["begun again"]


async def test_nobody_who_writes_waits_for_the_vault(
    written: Service, service_settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one replica asks the vault for the key, another one writes."""
    other = Service(service_settings)
    ask = other.secrets.chain_key

    async def slow(*, create: bool) -> ChainKey:
        await written.audit.write(AuditEntry(action="login.refused"))
        return await ask(create=create)

    monkeypatch.setattr(other.secrets, "chain_key", slow)
    async with other:
        found = await verified(written)
    assert (found.entries, found.late, found.broken) == (ENTRIES + 1, 0, ())


@pytest.fixture
def of_the_same(configuration: Path) -> Path:
    """A configuration for the command, with the target of the service."""
    text = configuration.read_text(encoding="utf-8")
    configuration.write_text(text.replace("[service]", '[service]\ntarget = "app"'), encoding="utf-8")
    return configuration


async def test_the_command(written: Service, of_the_same: Path, application: str) -> None:
    """`audit verify` ends with 0, or 5 and what was done; `audit --csv` has every entry, and no formulas."""

    async def run(*arguments: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "kleidia_backup.cli", "--config", str(of_the_same), "audit", *arguments]
        environment = {**os.environ, "SERVICE_PASSWORD": PASSWORD}
        done = await asyncio.to_thread(
            lambda: subprocess.run(command, capture_output=True, check=False, text=True, env=environment, timeout=60)
        )
        return done.returncode, done.stdout, done.stderr

    status, out, err = await run("--csv")
    assert (status, err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(out)))
    # Those that were written at the same time got their numbers in another order than their places.
    assert {row["place"] for row in rows} == {str(number + 1) for number in range(ENTRIES)}
    assert (rows[0]["user_name"], rows[0]["details"]) == ("'=HYPERLINK(eve)", '[Scheduled] a,"b"\'c\u20ac')
    status, out, err = await run("verify", "--json")
    assert (status, json.loads(out)["broken"], err) == (0, [], "")
    with psycopg.connect(application, autocommit=True) as connection:
        connection.execute("DELETE FROM kleidia_backup.audit WHERE place = 2")
    status, out, err = await run("verify")
    assert (status, "BROKEN" in out, "at place 2: an entry is missing" in err) == (5, True, True)


def test_the_command_where_no_service_ever_ran(of_the_same: Path) -> None:
    """That there is no log yet, and who begins it; not that a table is missing."""
    command = [sys.executable, "-m", "kleidia_backup.cli", "--config", str(of_the_same), "audit"]
    environment = {**os.environ, "SERVICE_PASSWORD": PASSWORD}
    done = subprocess.run(command, capture_output=True, check=False, text=True, env=environment, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "has no tables yet." in done.stderr
    assert "hint: The service makes them when it starts for the first time: `kleidia-backup serve`." in done.stderr
