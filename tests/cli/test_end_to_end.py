"""The command against real servers: what it prints, its status, and that nothing leaks."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from kleidia_backup.demo.servers.kv import KvMount
from kleidia_backup.demo.servers.together import Bucket, PostgresServer

from ..databases import without_sessions
from .conftest import Outcome, command

PASSWORD = "canary-encryption-password"
Call = Callable[..., Outcome]


@dataclass
class Installation:
    """A database, a vault and a configuration file that names them, with every secret in a file of its own."""

    config: Path
    conninfo: str = field(repr=False)
    kv: KvMount
    call: Call = field(repr=False)
    secrets: list[str] = field(repr=False)

    def run(self, *arguments: str | Path, environment: Mapping[str, str] | None = None) -> Outcome:
        """Call the command with this configuration, in this process unless ``call`` was replaced."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (environment or {}).items():
                patch.setenv(name, value)
            outcome = self.call("--config", self.config, *arguments)
        for secret in (*self.secrets, "canary-of-the-vault"):
            assert secret not in outcome.everything
        return outcome

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            cursor = connection.execute(text.encode())
            return cursor.fetchall() if cursor.description else []

    def content(self) -> tuple[Any, Any]:
        """Everything that a restore brings back."""
        return self.sql("SELECT * FROM notes ORDER BY 1"), self.kv.all()

    def configure(self, store: str) -> None:
        head, _, _ = self.config.read_text(encoding="utf-8").partition("[store]")
        self.config.write_text(f"{head}[store]\n{store}\n", encoding="utf-8")

    def wreck(self) -> None:
        self.sql("DELETE FROM notes WHERE id > 3")
        self.kv.put("app/jwt", {"secret": "wrong"})
        self.kv.delete("app/keys/1/piv")


@pytest.fixture
def installation(
    database: str, kv: KvMount, postgres_server: PostgresServer, tmp_path: Path, call: Call, store_directory: Path
) -> Installation:
    """Filled, with archives in a directory. Whatever the command prints, no secret of it may be there."""
    where = conninfo_to_dict(database)
    database_password = str(where["password"])
    files = {"db": database_password, "token": kv.server.root_token, "archive": PASSWORD}
    for name, secret in files.items():
        (tmp_path / name).write_text(f"{secret}\n", encoding="utf-8")
    config = tmp_path / "config.toml"
    config.write_text(
        f"""
[database]
host = "{where["host"]}"
port = {where["port"]}
name = "{where["dbname"]}"
user = "{where["user"]}"
password_file = "db"
pg_dump = "{postgres_server.bin_dir / "pg_dump"}"
[vault]
address = "{kv.server.address}"
[[vault.roots]]
mount = "{kv.path}"
path = "app"
[vault.auth]
token_file = "token"
[password]
file = "archive"
[store]
type = "directory"
path = "{store_directory}"
prefix = "backups/"
""",
        encoding="utf-8",
    )

    made = Installation(config, database, kv, call, list(files.values()))
    made.sql("CREATE TABLE notes (id int PRIMARY KEY, body text)")
    made.sql("INSERT INTO notes SELECT n, 'body ' || n FROM generate_series(1, 200) n")
    made.sql("CREATE TABLE audit_logs (id int)")
    made.sql("INSERT INTO audit_logs VALUES (1)")
    kv.put("app/jwt", {"secret": "canary-of-the-vault"})
    for n in range(5):
        kv.put(f"app/keys/{n}/piv", {"pin": "canary-of-the-vault", "n": n})
    return made


@pytest.mark.parametrize("kind", ["directory", "rclone"])
def test_the_whole_life_of_an_archive(
    installation: Installation, kind: str, rclone_bucket: Bucket, tmp_path: Path
) -> None:
    """Backup, list, inspect, verify, download, URL, restore and delete: each with one JSON object, each as it says."""
    if kind == "rclone":
        server = rclone_bucket.server
        (tmp_path / "s3").write_text(server.secret_key, encoding="utf-8")
        installation.configure(
            f'type = "s3"\nendpoint = "{server.endpoint}"\nbucket = "{rclone_bucket.name}"\nprefix = "backups/"\n'
            f'access_key_id = "{server.access_key}"\nsecret_access_key_file = "s3"'
        )
        installation.secrets.append(server.secret_key)
    run, before = installation.run, installation.content()

    tested = run("test-connection", "--json")
    assert (tested.status, tested.json["ok"]) == (0, True), tested.everything
    assert [check["part"] for check in tested.json["checks"]] == ["store", "database", "vault"]

    backup = run("backup", "--json")
    assert backup.status == 0, backup.everything
    made = backup.json
    name = made["name"]
    assert name.startswith("backups/backup-full-")
    assert (made["secrets"], made["unreadable"], made["exit_code"]) == (6, [], 0)
    assert made["seconds"]["total"] > 0
    assert {stage["name"] for stage in made["stages"]} >= {"pg_dump", "vault"}

    (listed,) = run("list", "--json").json["archives"]
    assert (listed["name"], listed["size"], listed["backup_type"]) == (name, made["size"], "full")

    short = name.removeprefix("backups/")
    inspected = run("inspect", short, "--json").json
    assert inspected["header"]["checksum"] == made["checksum"]
    assert inspected["header"]["includes_audit"] is True

    verified = run("verify", name, "--json").json
    assert (verified["rows"], verified["secrets"], verified["sql_bytes"]) == (201, 6, made["sql_bytes"])

    copy = tmp_path / "copy.enc"
    downloaded = run("download", short, copy, "--json").json
    assert (downloaded["name"], downloaded["size"]) == (name, copy.stat().st_size) == (name, made["size"])
    again = run("download", name, copy)
    assert (again.status, again.out) == (2, "")

    url = run("url", name)
    if kind == "rclone":
        assert url.status == 0, url.everything
        with urllib.request.urlopen(url.out.strip()) as answer:
            assert answer.read() == copy.read_bytes()
        assert run("url", short, "--json").json["name"] == name
    else:
        assert url.status == 2

    installation.wreck()
    assert installation.content() != before
    refused = run("restore", name, "--json")
    assert (refused.status, refused.json["error"]["type"]) == (9, "NotConfirmed")
    assert installation.content() != before
    restored = run("restore", short, "--yes", "--json")
    assert restored.status == 0, restored.everything
    assert (restored.json["secrets"], restored.json["written"], restored.json["failed"]) == (6, 2, [])
    assert installation.content() == before

    assert run("delete", name).status == 9
    deleted = run("delete", short, "--yes", "--json").json
    assert (deleted["name"], deleted["deleted"]) == (name, True)
    assert run("list").out == "There are no archives.\n"
    for each in ("inspect", "verify", "url"):
        assert run(each, name).status == 7


def test_in_processes_of_their_own(installation: Installation, spawn: Call) -> None:
    """As users call it: status, streams, and no question where nobody can answer."""
    installation.call = spawn
    before = installation.content()
    backup = installation.run("backup", "--json")
    assert (backup.status, backup.err) == (0, "")
    installation.wreck()
    refused = installation.run("restore", backup.json["name"])
    assert (refused.status, refused.out) == (9, "")
    assert "--yes" in refused.err
    assert installation.run("restore", backup.json["name"], "--yes", "--quiet").status == 0
    assert installation.content() == before
    assert backup.json["name"] in installation.run("list").out


def test_what_people_read(installation: Installation) -> None:
    """Without ``--json``: names, sizes, seconds of each phase, where the time went; no escape sequence in a pipe."""
    backup = installation.run("--verbose", "backup", "--no-audit-logs")
    assert backup.status == 0, backup.everything
    name = next(Path(installation.config.parent, "store/backups").iterdir()).name
    for part in (
        "Backup complete (full)",
        name,
        "KiB",
        "6",
        "prepare",
        "waiting for input",
        "pg_dump",
        "assemble",
        "gzip",
        "seal",
        "sha256",
    ):
        assert part in backup.out
    assert "\x1b" not in backup.everything
    verified = installation.run("verify", name)
    assert "200 rows" in verified.out
    assert "without audit logs" in verified.out
    assert name in installation.run("list").out
    assert "SHA-256" in installation.run("inspect", name).out
    restored = installation.run("restore", name, "--yes")
    assert "Restore complete" in restored.out
    assert "6 unchanged" in restored.out
    assert "is deleted" in installation.run("delete", name, "--yes").out


def test_a_part_alone(installation: Installation) -> None:
    """``--type`` backs up one of the two; restoring it leaves the other alone."""
    database = installation.run("backup", "--type", "database", "--name", "backup-db.enc", "--json").json
    vault = installation.run("backup", "--type", "vault", "--name", "backup-kv.enc", "--json").json
    assert (database["backup_type"], database["secrets"]) == ("database", 0)
    assert (vault["backup_type"], vault["sql_bytes"], vault["secrets"]) == ("vault", 0, 6)
    before = installation.content()
    installation.wreck()
    assert installation.run("restore", "backup-kv.enc", "--yes").status == 0
    rows, secrets = installation.content()
    assert (len(rows), secrets) == (3, before[1])
    assert installation.run("restore", "backup-db.enc", "--yes").status == 0
    assert installation.content() == before


def test_a_part_that_is_not_configured_is_not_restored_and_said(installation: Installation) -> None:
    """The archive has a vault and the configuration has none: the database comes back, and the status is 8."""
    name = installation.run("backup", "--json").json["name"]
    text = installation.config.read_text(encoding="utf-8")
    head, _, rest = text.partition("[vault]")
    installation.config.write_text(head + "[password]" + rest.partition("[password]")[2], encoding="utf-8")
    installation.wreck()
    restored = installation.run("restore", name, "--yes")
    assert restored.status == 8, restored.everything
    assert "warning: The archive's secrets were not restored" in restored.err
    assert len(installation.content()[0]) == 200
    full = installation.run("backup")
    assert full.status == 2
    assert "--type database" in full.err


def test_wrong_passwords_and_files_have_a_status_of_their_own(installation: Installation, tmp_path: Path) -> None:
    """4 for a wrong password, 3 for a damaged archive or another file, 5, 6 and 7 for the servers."""
    run = installation.run
    store = tmp_path / "store/backups"
    name = run("backup", "--json").json["name"].removeprefix("backups/")
    before = installation.content()

    wrong = tmp_path / "wrong"
    wrong.write_text("not the password", encoding="utf-8")
    refused = run("restore", name, "--yes", "--password-file", wrong)
    assert (refused.status, refused.out) == (4, "")
    assert refused.err.splitlines()[0].startswith("error: ")
    assert refused.err.splitlines()[1].startswith("hint: ")
    assert run("verify", name, environment={"KLEIDIA_BACKUP_PASSWORD": "another"}).status == 4

    data = (store / name).read_bytes()
    (store / "backup-cut.enc").write_bytes(data[:-1])
    (store / "backup-other.enc").write_bytes(b"something else")
    for damaged in ("backup-cut.enc", "backup-other.enc"):
        outcome = run("restore", damaged, "--yes", "--json")
        assert (outcome.status, outcome.json["error"]["exit_code"]) == (3, 3)

    new = ("--name", "backup-new.enc")  # the usual name is taken for the rest of this second
    nowhere = {"KLEIDIA_DATABASE_PORT": "1"}
    assert run("restore", name, "--yes", environment=nowhere).status == 5
    assert run("backup", *new, environment=nowhere).status == 5
    assert run("backup", *new, environment={"KLEIDIA_VAULT_AUTH_TOKEN": "wrong"}).status == 6
    assert run("backup", *new, environment={"KLEIDIA_STORE_PATH": str(tmp_path / "gone")}).status == 7
    assert run("backup", "--name", name).status == 7
    assert run("backup", "--type", "vault", *new, environment={"KLEIDIA_BACKUP_JOB_TIMEOUT": "0.001"}).status == 10
    assert run("backup", *new, environment={"KLEIDIA_DATABASE_PG_DUMP": "/nowhere/pg_dump"}).status == 2
    assert installation.content() == before
    assert sorted(path.name for path in store.iterdir()) == sorted([name, "backup-cut.enc", "backup-other.enc"])


def test_unreadable_secrets_are_allowed_only_when_asked(installation: Installation, tmp_path: Path) -> None:
    """Without the right for one folder: status 6 and no archive; with ``--allow-unreadable`` status 8 and the paths."""
    kv = installation.kv
    rules = f'path "{kv.path}/*" {{ capabilities = ["read", "list"] }}\n'
    rules += f'path "{kv.path}/data/app/keys/3/*" {{ capabilities = ["deny"] }}'
    kv.server.request("PUT", "sys/policies/acl/partly", {"policy": rules})
    status, answer = kv.server.request("POST", "auth/token/create", {"policies": ["partly"]})
    assert status == 200
    (tmp_path / "token").write_text(answer["auth"]["client_token"], encoding="utf-8")
    refused = installation.run("backup")
    assert (refused.status, list((tmp_path / "store").rglob("*.enc"))) == (6, [])
    allowed = installation.run("backup", "--allow-unreadable")
    assert allowed.status == 8, allowed.everything
    assert "warning: not in the archive: keys/3/piv" in allowed.err
    assert installation.run("backup", "--allow-unreadable", "--type", "vault", "--json").json["unreadable"] == [
        "keys/3/piv"
    ]


def test_the_password_can_be_in_the_vault(installation: Installation, tmp_path: Path) -> None:
    """As the specification says: stored in OpenBao. What is wrong there is named."""
    text = installation.config.read_text(encoding="utf-8")
    installation.config.write_text(
        text.replace(
            'file = "archive"', f'[password.vault]\nmount = "{installation.kv.path}"\npath = "own"\nfield = "password"'
        ),
        encoding="utf-8",
    )
    missing = installation.run("backup")
    assert missing.status == 6
    assert "there is no such secret" in missing.err
    installation.kv.put("own", {"secret": PASSWORD})
    field_missing = installation.run("backup")
    assert (field_missing.status, "'password'" in field_missing.err) == (2, True)
    installation.kv.put("own", {"password": PASSWORD})
    name = installation.run("backup", "--json").json["name"]
    assert installation.run("verify", name, "--password-file", tmp_path / "archive").status == 0


def test_the_log_of_verbose_is_json_in_a_pipe_and_holds_no_secret(installation: Installation) -> None:
    """One JSON object a line on stderr; stdout still ends with the result."""
    backup = installation.run("backup", "--verbose", "--json")
    assert backup.status == 0
    events = [json.loads(line) for line in backup.err.splitlines()]
    assert {"phase", "StageStarted", "StageEnded"} <= {event["event"] for event in events}
    assert backup.json["exit_code"] == 0


def test_connections_name_what_is_missing(installation: Installation, tmp_path: Path) -> None:
    """The status is that of the part at fault, and the others are still tested."""
    failed = installation.run("test-connection", "--json", environment={"KLEIDIA_VAULT_AUTH_TOKEN": "wrong"})
    assert failed.status == 6
    assert [check["ok"] for check in failed.json["checks"]] == [True, True, False]
    assert installation.run("test-connection", "--json").json["checks"][2]["detail"].endswith(", 1 root")
    shown = installation.run("test-connection", environment={"KLEIDIA_STORE_PATH": str(tmp_path / "gone")})
    assert shown.status == 7
    assert "store: not ok" in shown.out
    assert "database: ok" in shown.out


@pytest.fixture
def backup_only(installation: Installation) -> Iterator[dict[str, str]]:
    """The environment of somebody with the rights that README gives for a backup, and no others."""
    role, server = f"backup_{os.urandom(4).hex()}", installation.kv.server
    installation.sql(f"CREATE ROLE {role} LOGIN PASSWORD 'canary-of-the-vault'; GRANT pg_read_all_data TO {role}")
    mount = installation.kv.path
    rules = (
        f'path "{mount}/metadata/app/*" {{ capabilities = ["list"] }}'
        f'path "{mount}/data/app/*" {{ capabilities = ["read"] }}'
    )
    server.request("PUT", f"sys/policies/acl/{role}", {"policy": rules})
    _, answer = server.request("POST", "auth/token/create", {"policies": [role]})
    yield {
        "KLEIDIA_DATABASE_USER": role,
        "KLEIDIA_DATABASE_PASSWORD": "canary-of-the-vault",
        "KLEIDIA_VAULT_AUTH_TOKEN": answer["auth"]["client_token"],
    }
    installation.sql(without_sessions(role))
    installation.sql(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_connections_are_tested_for_what_was_asked(installation: Installation, backup_only: dict[str, str]) -> None:
    """Rights for backups alone are right for backups; what a restore lacks is shown, and counts when that is asked."""
    run = installation.run
    tested = run("test-connection", "--json", environment=backup_only)
    assert (tested.status, tested.json["ok"], tested.json["for"]) == (0, True, "backup")
    store, database, vault = tested.json["checks"]
    assert [each["backup_lacks"] for each in (store, database, vault)] == [[], [], []]
    assert store["restore_lacks"] == []
    assert database["restore_lacks"] == [
        "ownership of table public.audit_logs, table public.notes",
        "CREATE on schema public",
    ]
    assert f"create on {installation.kv.path}/data/app/*" in vault["restore_lacks"]
    assert run("backup", environment=backup_only).status == 0

    failed = run("test-connection", "--for", "restore", "--json", environment=backup_only)
    assert (failed.status, failed.json["ok"]) == (5, False)
    assert failed.json["checks"][1]["missing"] == database["restore_lacks"]
    assert [check["ok"] for check in failed.json["checks"]] == [True, False, False]
    assert run("test-connection", "--for", "restore").status == 0

    shown = run("test-connection", environment=backup_only)
    assert "database: ok" in shown.out
    assert "lacks ownership of table public.audit_logs" in " ".join(shown.out.split())


def test_a_backup_that_cannot_have_everything_says_so(installation: Installation, backup_only: dict[str, str]) -> None:
    """Exit status 8, a warning that names the object and the cure, and the same from the test beforehand."""
    installation.sql(
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
        "CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (password 'canary-of-the-vault')"
    )
    tested = installation.run("test-connection", environment=backup_only)
    assert tested.status == 0
    assert "user mapping for public on server s" in " ".join(tested.err.split())
    made = installation.run("backup", "--json", environment=backup_only)
    assert made.status == 8
    assert made.json["left_out"] == ["user mapping for public on server s"]
    assert "Back up as a superuser" in made.json["warnings"][0]
    assert installation.run("backup", "--name", "all.enc").status == 0


def test_ctrl_c_while_pg_dump_waits(installation: Installation, tmp_path: Path) -> None:
    """A terminal sends Ctrl-C to the whole group: one line, no archive, and no pg_dump left, here or on the server."""
    waits = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with psycopg.connect(installation.conninfo) as connection:
        connection.execute("LOCK TABLE notes IN ACCESS EXCLUSIVE MODE")
        with subprocess.Popen(
            command("--config", installation.config, "backup"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                while not installation.sql(waits):
                    assert process.poll() is None
                children = psutil.Process(process.pid).children(recursive=True)
                os.killpg(process.pid, signal.SIGINT)
                out, err = process.communicate(timeout=60)
            finally:
                process.kill()
    assert (process.returncode, out) == (130, "")
    assert err.startswith("error: Stopped by Ctrl-C. No archive was made, and nothing is left in the store.")
    assert len(err.splitlines()) == 2
    assert {child.is_running() for child in children} == {False}
    assert installation.sql(waits) == []
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []


def test_the_question_before_a_restore_names_what_is_overwritten(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Archive, its age and size; database and server; vault and roots. Anything but yes changes nothing."""
    name = installation.run("backup", "--json").json["name"]
    installation.wreck()
    before = installation.content()

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal("no\n"))
    refused = installation.run("restore", name)
    assert refused.status == 9
    where = conninfo_to_dict(installation.conninfo)
    for part in (
        name,
        "KiB",
        f"database {where['dbname']} at {where['host']}:{where['port']}",
        f"vault at {installation.kv.server.address}: secrets below {installation.kv.path}/app/",
        "This cannot be undone.",
    ):
        assert part in refused.err
    assert installation.content() == before
    monkeypatch.setattr("sys.stdin", Terminal("yes\n"))
    assert installation.run("restore", name).status == 0
    assert installation.content() != before
