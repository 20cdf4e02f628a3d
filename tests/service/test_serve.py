"""The command ``serve`` as a process: it answers, logs JSON without secrets, and ends when it is told to."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import jwt
import psutil
import psycopg
import pytest

from kleidia_backup.service.server import _config, _listen
from kleidia_backup.service.service import Service
from kleidia_backup.service.targets.held import OneTarget
from kleidia_backup.stages.errors import ConfigurationError

from .conftest import PASSWORD
from .serving import serving

#: The same as in ``conftest.application``.
JWT_SECRET = "canary-jwt-secret-of-at-least-32-bytes"


def ask(method: str, url: str, body: object = None, token: str = "") -> Any:
    """One request as an admin."""
    token = token or jwt.encode({"sub": "u-1", "role": "admin", "exp": int(time.time()) + 60}, JWT_SECRET, "HS256")
    request = urllib.request.Request(
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def test_serve_runs_a_job_and_stops(configuration: Path, application: str) -> None:
    """A job is triggered by HTTP; SIGTERM lets it end, then the process. The log is JSON and holds no secret."""
    with serving("--config", str(configuration)) as (process, told):
        url = told["url"]
        with psycopg.connect(application) as holder:
            holder.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
            job = ask("POST", f"{url}/api/backup/trigger", {"type": "full"})
            while ask("GET", f"{url}/api/backup/jobs/{job['id']}")["phase"] != "backup":
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    assert process.returncode == 0
    lines = [json.loads(line) for line in log.splitlines()]
    (done,) = [line for line in lines if line["event"] == "job completed"]
    assert (done["job"], done["target"], done["logger"]) == (
        job["id"],
        application_name(application),
        "kleidia_backup.job",
    )
    assert "canary" not in log


@pytest.mark.anyio
@pytest.mark.parametrize(("configured", "written"), [((), "127.0.0.1"), (("127.0.0.1",), "192.0.2.77")])
async def test_a_forwarded_address_is_believed_from_whom_is_configured(
    service: Service, configured: tuple[str, ...], written: str
) -> None:
    """X-Forwarded-For of anybody on this machine is nothing, unless its address is among forwarded_allow_ips."""
    config = _config(OneTarget(service), replace(service.config, forwarded_allow_ips=configured))
    config.load()
    transport = httpx.ASGITransport(config.loaded_app, client=("127.0.0.1", 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        headers = {"Authorization": "Bearer none", "X-Forwarded-For": "192.0.2.77"}
        assert (await client.get("/api/backup/jobs", headers=headers)).status_code == 401
    (entry,) = await service.audit.page()
    assert (entry.action, entry.ip) == ("login.refused", written)


def application_name(conninfo: str) -> str:
    """The name of a database, which is the target unless another is configured."""
    return str(psycopg.conninfo.conninfo_to_dict(conninfo)["dbname"])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_answers_are_not_held_back(host: str) -> None:
    """On a connection that stays open a small answer is sent at once, not when its head was acknowledged (40 ms)."""
    try:
        listening = _listen(host, 0)
    except ConfigurationError:
        pytest.skip(f"this machine has no {host}")
    with listening, socket.create_connection(listening.getsockname()[:2]), listening.accept()[0] as taken:
        assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_that_is_taken(configuration: Path) -> None:
    """One message with a next step, as every command has."""
    with serving("--config", str(configuration)) as (_, told):
        port = told["url"].rpartition(":")[2]
        second = subprocess.run(
            [sys.executable, "-m", "kleidia_backup.cli", "--config", str(configuration), "serve", "--port", port],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "SERVICE_PASSWORD": PASSWORD},
        )
    assert second.returncode == 2
    assert second.stderr.splitlines()[-2:] == [
        f"error: The service cannot listen at 127.0.0.1:{port}: Address already in use.",
        "hint: Choose another host or port in [service], or by --host and --port.",
    ]


def test_the_format_of_a_service_is_a_setting(configuration: Path) -> None:
    """``--format`` goes with ``--demo`` alone."""
    command = [sys.executable, "-m", "kleidia_backup.cli", "--config", str(configuration), "serve", "--format", "v2"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert refused.returncode == 2
    assert "error: --format is for --demo alone." in refused.stderr


def test_the_demo() -> None:
    """It comes up with data and a token of each role; its page is there, and its servers end with it."""
    with serving("--demo", "--format", "v2", "--port", "0") as (process, told):
        with urllib.request.urlopen(told["docs"], timeout=20) as page:
            assert page.status == 200
        assert {"admin_token", "operator_token", "viewer_token"} <= told.keys()
        url, viewer = f"{told['url']}/api/backup", told["viewer_token"]
        deadline, states = time.monotonic() + 60, dict[str, str]()
        while states != {"backup": "completed", "drill": "completed"}:  # its own, behind thirty made-up days
            assert time.monotonic() < deadline, states
            found = ask("GET", f"{url}/jobs", token=viewer)["jobs"]
            states = {job["kind"]: job["status"] for job in found if job["requested_by"] == "demo"}
            time.sleep(0.1)
        assert len(found) > 40
        assert ask("GET", f"{url}/settings", token=viewer)["format"] == "v2"
        servers = psutil.Process(process.pid).children(recursive=True)
        assert servers
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert psutil.wait_procs(servers, timeout=5)[1] == []
