"""A service on real servers for browsers: everything that its page can touch, and how to look at it from outside."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jwt
import psycopg

from kleidia_backup.demo.servers.together import Bucket, KvMount, OpenBaoServer, PostgresServer, S3Server

from ..databases import new_database
from ..receiving import Receiver, receiving
from .gate import Gate, gate

PASSWORD = "canary-encryption-password"
JWT_SECRET = "canary-jwt-secret-of-at-least-32-bytes"
#: The application that is backed up.
APPLICATION = """
CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE audit_logs (id serial PRIMARY KEY, action text);
INSERT INTO users (name) SELECT 'user ' || n FROM generate_series(1, 20) n;
INSERT INTO audit_logs (action) SELECT 'login' FROM generate_series(1, 5);
"""
SECRETS = 5
#: Seconds within which whatever is waited for happens on any machine.
PATIENCE = 90.0
#: The command, whose service looks more often than people need it; a job whose replica is silent is given up sooner.
_QUICK = """
import sys
from kleidia_backup.cli import main
from kleidia_backup.config.service import Intervals
Intervals.__init__.__kwdefaults__.update(beat=0.2, poll=0.5, reap=0.5, dead=8, tick=0.5, margin=5)
sys.exit(main(sys.argv[1:]))
"""


@dataclass
class Site:
    """The service as a process, its servers, and what is told to who sits before a browser."""

    database: str = field(repr=False)
    kv: KvMount
    bucket: Bucket
    store: Gate
    receiver: Receiver
    directory: Path
    pg_dump: str
    more: str = ""
    told: dict[str, str] = field(default_factory=dict, repr=False)
    process: subprocess.Popen[str] | None = None

    # The process ----------------------------------------------------------------------------------------------------

    def start(self, port: int = 0) -> None:
        """Start it, at the port where it was before if one is given; return when it answers."""
        with (self.directory / "service.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _QUICK, "--config", str(self._file()), "--json", "serve", "--port", str(port)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "SITE_PASSWORD": PASSWORD},
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.directory / "service.log").read_text(encoding="utf-8")
        said = json.loads(line)
        assert "url" in said, said
        self.told = said | {f"{role}_token": token(role) for role in ("admin", "operator", "viewer")}

    def kill(self) -> None:
        """As a crash does: it can say nothing any more."""
        assert self.process is not None
        self.process.kill()
        self.process.communicate()

    def again(self) -> None:
        """Start it where it was."""
        self.start(int(self.told["url"].rpartition(":")[2]))

    def _file(self) -> Path:
        path = self.directory / "service.toml"
        path.write_text(
            f"""
[database]
conninfo = {json.dumps(self.database)}
pg_dump = {json.dumps(self.pg_dump)}
[vault]
address = {json.dumps(self.kv.server.address)}
roots = [{{ mount = {json.dumps(self.kv.path)}, path = "app" }}]
[vault.auth]
token = {json.dumps(self.kv.server.root_token)}
[store]
type = "s3"
endpoint = {json.dumps(self.store.url)}
bucket = {json.dumps(self.bucket.name)}
prefix = "backups/"
access_key_id = {json.dumps(self.bucket.server.access_key)}
secret_access_key = {json.dumps(self.bucket.server.secret_key)}
path_style = true
[backup]
state_dir = {json.dumps(str(self.state))}
[password]
env = "SITE_PASSWORD"
[notify]
webhook_url = {json.dumps(self.receiver.url + "/hook")}
webhook_secret = {json.dumps(secrets.token_hex(16))}
[service]
port = 0
grace = 5
target = "site"
environment = "a test"
secrets_path = "service"
{self.more}
""",
            encoding="utf-8",
        )
        path.chmod(0o600)
        return path

    # What there is, seen without the service ------------------------------------------------------------------------

    @property
    def state(self) -> Path:
        """Where the journals of its restores are."""
        return self.directory / "state"

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What a query gives, in the database that is backed up (the control tables are in it as well)."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            found = connection.execute(query.encode(), values)
            return found.fetchall() if found.description else []

    def users(self) -> int:
        """How many there are."""
        return int(self.rows("SELECT count(*) FROM users")[0][0])

    def secrets(self) -> dict[str, Any]:
        """The application's, by their paths; one that was removed can be brought back, and is not among them."""
        found = {path.removeprefix("app/"): self.kv.get(path) for path in self.kv.paths("app/")}
        return {path: value for path, value in found.items() if value is not None}

    def archives(self) -> list[str]:
        """The names of all objects in the store."""
        return self.bucket.keys()

    def job(self, number: int) -> dict[str, Any]:
        """A job's row."""
        (row,) = self.rows("SELECT to_jsonb(j) FROM kleidia_backup.jobs j WHERE id = %s", number)
        return dict(row[0])

    def last_job(self) -> int:
        """The number of the newest job, 0 where there is none."""
        return int(self.rows("SELECT coalesce(max(id), 0) FROM kleidia_backup.jobs")[0][0])

    def audit(self, action: str) -> list[dict[str, Any]]:
        """The entries of one action, newest first."""
        query = "SELECT to_jsonb(a) FROM kleidia_backup.audit a WHERE action = %s ORDER BY id DESC"
        return [dict(row[0]) for row in self.rows(query, action)]

    def until(self, true: Callable[[], Any], what: str) -> Any:
        """Wait for something; what it is then."""
        end = time.monotonic() + PATIENCE
        while not (found := true()):
            assert time.monotonic() < end, f"not within {PATIENCE:.0f} s: {what}"
            time.sleep(0.05)
        return found

    def ended(self, after: int, kind: str) -> dict[str, Any]:
        """The first job of a kind after another, when it has ended."""
        query = (
            "SELECT id FROM kleidia_backup.jobs WHERE id > %s AND kind = %s AND status IN ('completed', 'failed')"
            " ORDER BY id LIMIT 1"
        )
        ((number,),) = self.until(lambda: self.rows(query, after, kind), f"a {kind} ends")
        return self.job(number)

    def idle(self) -> None:
        """Wait until nothing runs."""
        query = "SELECT id FROM kleidia_backup.jobs WHERE status IN ('pending', 'running')"
        self.until(lambda: not self.rows(query), "nothing runs")

    @contextmanager
    def held(self) -> Iterator[None]:
        """No backup gets on meanwhile: a table of the application is locked."""
        with psycopg.connect(self.database) as holder:
            holder.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
            yield
            holder.rollback()

    def ask(self, method: str, path: str, body: object = None, role: str = "admin") -> Any:
        """Ask its API; the JSON of the answer."""
        answer = httpx.request(
            method,
            f"{self.told['url']}/api/backup/{path}",
            json=body,
            headers={"Authorization": f"Bearer {self.told[f'{role}_token']}"},
            timeout=PATIENCE,
        )
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def backup(self) -> str:
        """Make an archive; its name in the store."""
        self.idle()
        before = self.last_job()
        self.ask("POST", "trigger", {"type": "full"})
        job = self.ended(before, "backup")
        assert job["status"] == "completed", job
        return str(job["archive"])


def token(role: str, **claims: Any) -> str:
    """A token for somebody with a role."""
    values = {"sub": f"u-{role}", "name": f"Ada {role}", "role": role, "exp": int(time.time()) + 86_400}
    return jwt.encode(values | claims, JWT_SECRET, "HS256")


@contextmanager
def running(
    postgres: PostgresServer, openbao: OpenBaoServer, s3: S3Server, directory: Path, more: str = ""
) -> Iterator[Site]:
    """One, with an application of its own and no archive yet. ``more`` stands at the end of its configuration."""
    with ExitStack() as stack:
        database = postgres.conninfo(stack.enter_context(new_database(postgres)))
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(APPLICATION)
        kv = openbao.mount(f"site-{secrets.token_hex(6)}")
        stack.callback(kv.remove)
        for number in range(SECRETS):
            kv.put(f"app/secret-{number}", {"value": f"s{number}"})
        kv.put("app/jwt-secret", {"secret": JWT_SECRET})
        site = Site(
            database,
            kv,
            s3.create_bucket(f"site-{secrets.token_hex(6)}"),
            stack.enter_context(gate(s3.endpoint)),
            stack.enter_context(receiving()),
            directory,
            str(postgres.bin_dir / "pg_dump"),
            more,
        )
        stack.callback(lambda: _stop(site.process))
        site.start()
        site.ask("PUT", "settings", {"schedule_enabled": False})  # jobs are those of the tests alone
        yield site


def _stop(process: subprocess.Popen[str] | None) -> None:
    if process is None:
        return
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
    process.communicate()
