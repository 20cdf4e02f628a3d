"""The image as it is deployed: read-only, without rights, in two replicas, of which one is killed."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any, TypeVar

import jwt
import psutil
import psycopg
import pytest

from ..service.test_flood import ALLOWED, ENDLESS, LASTS, Server, flood
from .conftest import DEPLOY, JWT_SECRET, PATIENCE, Site

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]

T = TypeVar("T")


def ask(method: str, url: str, body: object = None) -> Any:
    """One request as an administrator."""
    token = jwt.encode({"sub": "u-1", "role": "admin", "exp": int(time.time()) + 60}, JWT_SECRET, "HS256")
    request = urllib.request.Request(
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def until(found: Callable[[], T | None], what: str) -> T:
    end = time.monotonic() + PATIENCE
    while (value := found()) is None:
        assert time.monotonic() < end, what
        time.sleep(0.2)
    return value


def ended(url: str, job: int) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = ask("GET", f"{url}/api/backup/jobs/{job}")
        return found if found["status"] in {"completed", "failed"} else None

    return until(look, f"job {job} does not end")


def test_a_replica_may_write_nothing(site: Site) -> None:
    """But to its state and /tmp, as a user of no rights; and the image's own check of its health holds."""
    (line,) = [line for line in (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines() if "healthz" in line]
    check = json.loads(line.partition("CMD ")[2])
    for replica in site.replicas:
        status = replica.exec(["cat", "/proc/1/status"]).output.decode()
        facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert (facts["Uid"].split("\t")[0], facts["CapEff"], facts["NoNewPrivs"]) == ("10001", "0" * 16, "1")
        for path, written in (("/x", False), ("/etc/kleidia-backup/x", False), ("/opt/x", False), ("/tmp/x", True)):
            assert (replica.exec(["touch", path]).exit_code == 0) is written, path
        assert replica.exec(check).exit_code == 0
        assert replica.exec(["pg_dump", "--version"]).exit_code == 0


def test_the_limit_of_memory_holds_while_clients_flood_it(site: Site) -> None:
    """Clients that nobody knows send without end, and the process takes little more than before."""
    replica = site.replicas[0]

    def memory() -> tuple[int, int]:
        text = replica.exec(["cat", "/proc/1/status"]).output.decode()
        facts = {name: line for name, _, line in (each.partition(":") for each in text.splitlines())}
        return int(facts["VmRSS"].split()[0]) * 1024, int(facts["VmHWM"].split()[0]) * 1024

    now, most = memory()
    for first, again, count in ENDLESS.values():
        flood(Server(site.url(replica), psutil.Process()), first, again, count, time.monotonic() + LASTS)
    assert memory()[1] < max(most, now + ALLOWED)
    state = replica.get_wrapped_container()
    state.reload()
    assert (state.attrs["State"]["Status"], state.attrs["State"]["OOMKilled"]) == ("running", False)
    with urllib.request.urlopen(f"{site.url(replica)}/healthz", timeout=60) as answer:
        assert answer.status == 200


def test_one_of_two_is_killed_during_a_backup(site: Site) -> None:
    """The other one fails its job, nothing stays locked or stored, and the next backup is made, verified, restored."""
    with psycopg.connect(site.conninfo) as holder, psycopg.connect(site.conninfo, autocommit=True) as watch:
        holder.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        job = ask("POST", f"{site.url(site.replicas[0])}/api/backup/trigger", {"type": "full"})["id"]

        def working() -> str | None:
            row = watch.execute(
                "SELECT replica FROM kleidia_backup.jobs WHERE id = %s AND phase = 'backup' AND EXISTS"
                " (SELECT FROM pg_stat_activity WHERE application_name = 'pg_dump' AND wait_event_type = 'Lock')",
                (job,),
            ).fetchone()
            return row[0] if row else None

        killed = until(working, "no replica works at the job")
        victim = site.named(killed)
        victim.get_wrapped_container().kill()
        (other,) = [each for each in site.replicas if each is not victim]
        url = site.url(other)
        failed = ended(url, job)
        assert failed["error"] == f"The replica that ran it ({killed}) died, or lost the control database."
        holder.rollback()
        until(
            lambda: watch.execute(
                "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'pg_dump')"
            ).fetchone(),
            "the killed one's pg_dump holds its locks",
        )
    assert (site.bucket.keys(), site.bucket.uploads()) == ([], [])
    backup = ended(url, ask("POST", f"{url}/api/backup/trigger", {"type": "full"})["id"])
    assert (backup["status"], backup["error"]) == ("completed", None)
    (archive,) = site.bucket.keys()
    verified = ended(url, ask("POST", f"{url}/api/backup/verify", {"key": archive})["id"])
    assert (verified["status"], verified["error"]) == ("completed", None)
    with psycopg.connect(site.conninfo, autocommit=True) as connection:
        connection.execute("UPDATE users SET name = ''")
    restore = {"key": archive, "backup_first": False}
    restored = ended(url, ask("POST", f"{url}/api/backup/restore", restore)["id"])
    assert (restored["status"], restored["error"]) == ("completed", None)
    with psycopg.connect(site.conninfo) as connection:
        assert connection.execute("SELECT count(*) FROM users WHERE name LIKE 'user %'").fetchone() == (1000,)
    state = other.get_wrapped_container()
    state.stop(timeout=PATIENCE)
    state.reload()
    assert (state.attrs["State"]["ExitCode"], state.attrs["State"]["OOMKilled"]) == (0, False)
