"""``recover.py`` of format V1, run as its readers run it: alone, in a process, on every vector."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import os
import pty
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from argon2.exceptions import HashingError
from argon2.low_level import hash_secret_raw

from kleidia_backup.formats.v1 import recover

from .second_writer import Run, archive, gzip_member, seal

HERE = Path(__file__).parent
SCRIPT = HERE.parent.parent / "formats" / "v1" / "recover.py"
VECTORS: list[dict[str, Any]] = json.loads((HERE / "vectors" / "vectors.json").read_text())
GOOD = [pytest.param(vector, id=vector["file"]) for vector in VECTORS if vector["expect"] == "ok"]
BAD = [pytest.param(vector, id=vector["file"]) for vector in VECTORS if vector["expect"] != "ok"]
#: A line of ``secrets.jsonl``: the value is cut out as it stands, since a parser would round its numbers.
LINE = re.compile(r'\{"path": ("(?:[^"\\]|\\.)*"), "value": (.*)\}')


def run(file: Path, password: str, directory: Path, **how: Any) -> subprocess.CompletedProcess[bytes]:
    """The script in a process of its own, which sees no package beside it; it writes into ``directory``/out/all."""
    place, out = directory / "password", directory / "out"
    place.write_bytes(password.encode() + b"\n")
    out.mkdir(exist_ok=True)
    command = [sys.executable, "-I", str(SCRIPT), str(file), "--password-file", str(place), "--output", f"{out}/all"]
    return subprocess.run(command, capture_output=True, timeout=60, check=False, **how)


def secrets_in(text: str) -> dict[str, str]:
    """Path and value, as it stands there, of each line; every line is JSON."""
    found: dict[str, str] = {}
    lines = text.split("\n")
    assert lines.pop() == ""
    for line in lines:
        match = LINE.fullmatch(line)
        assert match is not None, line
        path = json.loads(match[1])
        assert path not in found
        found[path] = match[2]
    return found


@pytest.mark.parametrize("vector", GOOD)
def test_a_good_archive_gives_sql_and_secrets(vector: dict[str, Any], tmp_path: Path) -> None:
    """Byte for byte, but that line ends between the tokens of a value are spaces."""
    done = run(HERE / "vectors" / vector["file"], vector["password"], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    out = tmp_path / "out" / "all"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["all"]
    assert out.stat().st_mode & 0o777 == 0o700
    header = vector["header"]
    names = {"database.sql"} if header["includes_db"] else set()
    names |= {"secrets.jsonl"} if header["includes_kv"] else set()
    assert {path.name for path in out.iterdir()} == names
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in out.iterdir())
    sql = (out / "database.sql").read_bytes() if header["includes_db"] else b""
    assert hashlib.sha256(sql).hexdigest() == vector["sql_sha256"]
    secrets = secrets_in((out / "secrets.jsonl").read_text()) if header["includes_kv"] else {}
    assert secrets.keys() == vector["secrets_sha256"].keys()
    for path, value in secrets.items():
        # Only one vector has line ends in values: "\r\n\t" between the tokens, never spaces.
        written = value.replace("  \t", "\r\n\t") if vector["file"] == "ok-white-space.enc" else value
        assert hashlib.sha256(written.encode()).hexdigest() == vector["secrets_sha256"][path]


def test_every_bad_archive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as below in one process: it derives a key once for all."""
    monkeypatch.setattr(recover, "hash_secret_raw", functools.cache(hash_secret_raw))
    place, out = tmp_path / "password", tmp_path / "out"
    out.mkdir()
    wrong: dict[str, str] = {}
    before = os.umask(0o077)
    try:
        for vector in VECTORS:
            if vector["expect"] == "ok" or vector.get("limit"):
                continue
            place.write_bytes(vector["password"].encode() + b"\n")
            file = str(HERE / "vectors" / vector["file"])
            arguments = [file, "--password-file", str(place), "--output", str(out / "all")]
            monkeypatch.setattr(sys, "argv", ["recover.py", *arguments])
            with pytest.raises(SystemExit) as caught:
                recover.main()
            message = str(caught.value.code)
            if not re.fullmatch(f"recover.py: {vector['expect']}: .+; .+", message):
                wrong[vector["file"]] = message
            assert list(out.iterdir()) == []
    finally:
        os.umask(before)
    assert wrong == {}


@pytest.mark.thorough
@pytest.mark.parametrize("vector", BAD)
def test_a_bad_archive_is_refused(vector: dict[str, Any], tmp_path: Path) -> None:
    """Exit code 1, the layer in one line with the next step, and nothing is left behind."""
    done = run(HERE / "vectors" / vector["file"], vector["password"], tmp_path)
    if vector.get("limit") and done.returncode == 0:
        assert (tmp_path / "out" / "all").is_dir()
        return
    assert (done.returncode, done.stdout) == (1, b"")
    [line] = done.stderr.decode().splitlines()
    assert line.startswith(f"recover.py: {vector['expect']}: ")
    assert "; " in line
    assert list((tmp_path / "out").iterdir()) == []


#: More than Python, the libraries and Argon2 take.
SIZE = 350_000_000


@pytest.mark.thorough
def test_memory_is_the_same_for_every_size(tmp_path: Path) -> None:
    """SQL, a secret, and two values that nobody knows, of 350 MB each, in an address space of 350 MB."""
    payload = (
        b'{"x":["', Run(b"0", SIZE), b'",', Run(b"1", SIZE), b'],"database_sql":"',
        Run(b"x", SIZE), b'","vault_secrets":{"a":"', Run(b"y", SIZE), b'"}}',
    )  # fmt: skip
    file = tmp_path / "large.enc"
    file.write_bytes(archive(seal(gzip_member(*payload))))

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (SIZE, SIZE))

    done = run(file, "correct horse battery staple", tmp_path, preexec_fn=limit)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "out" / "all" / "database.sql").stat().st_size == SIZE


def test_no_memory_for_argon2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is one line as well, and leaves nothing."""

    def none(*_: object) -> bytes:
        raise HashingError("Memory allocation error")

    (tmp_path / "password").write_text("x")
    arguments = ["--password-file", str(tmp_path / "password"), "--output", str(tmp_path / "all")]
    monkeypatch.setattr(recover, "hash_secret_raw", none)
    monkeypatch.setattr(sys, "argv", ["recover.py", str(HERE / "vectors" / "ok-plain.enc"), *arguments])
    before = os.umask(0o077)
    try:
        with pytest.raises(SystemExit, match=r"^recover.py: files: Memory allocation error; .* in memory$"):
            recover.main()
    finally:
        os.umask(before)
    assert [path.name for path in tmp_path.iterdir()] == ["password"]


def test_a_stream_that_ends_early_is_said_before_its_content(tmp_path: Path) -> None:
    """Where a payload is wrong in a gzip stream that is cut, the cut is what is wrong."""
    file = tmp_path / "cut.enc"
    file.write_bytes(archive(seal(gzip_member(b'{"database_sql":wrong}' * 9)[:-8])))
    done = run(file, "correct horse battery staple", tmp_path)
    assert done.stderr.startswith(b"recover.py: gzip: it ends early; ")


def test_what_is_there_stays(tmp_path: Path) -> None:
    """An output that exists is not touched, and what is wrong with the files is said in one line."""
    good = HERE / "vectors" / "ok-plain.enc"
    (tmp_path / "out" / "all").mkdir(parents=True)
    done = run(good, "correct horse battery staple", tmp_path)
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"exists; name a directory that does not" in done.stderr
    assert list((tmp_path / "out" / "all").iterdir()) == []
    done = run(tmp_path / "no such file", "x", tmp_path / "out")
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert done.stderr.startswith(b"recover.py: files: ")


def test_an_empty_password(tmp_path: Path) -> None:
    """Is refused as what it is."""
    done = run(HERE / "vectors" / "ok-plain.enc", "", tmp_path)
    assert done.stderr.startswith(b"recover.py: password: it is empty; ")


def test_damage_is_said_before_a_password_is_asked_for(tmp_path: Path) -> None:
    """Nobody types a password for a file that cannot be opened; there is no terminal here."""
    command = [sys.executable, "-I", str(SCRIPT), str(HERE / "vectors" / "checksum-flip-middle.enc"), "--output", "x"]
    done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert done.stderr.startswith(b"recover.py: checksum: ")


def test_a_password_from_the_terminal(tmp_path: Path) -> None:
    """It is asked for, and not shown."""
    pid, terminal = pty.fork()
    if pid == 0:
        archived = str(HERE / "vectors" / "ok-plain.enc")
        os.execv(sys.executable, [sys.executable, "-I", str(SCRIPT), archived, "--output", str(tmp_path / "all")])
    seen = b""
    try:
        while b"Password of the archive: " not in seen:
            seen += os.read(terminal, 1024)
        os.write(terminal, b"correct horse battery staple\n")
        while data := os.read(terminal, 1024):
            seen += data
    except OSError:
        pass  # the other side closed it
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert b"staple" not in seen
    assert (tmp_path / "all" / "database.sql").is_file()
    command = [sys.executable, "-I", str(SCRIPT), str(HERE / "vectors" / "ok-plain.enc"), "--output", "other"]
    nobody = subprocess.run(
        command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, check=False, start_new_session=True
    )
    assert nobody.returncode == 1
    assert b"recover.py: files: no password was given; " in nobody.stderr


def test_it_imports_nothing_of_ours() -> None:
    """The standard library, cryptography and argon2-cffi are all that it needs."""
    tree = ast.parse(SCRIPT.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {f"{'.' * node.level}{node.module}" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    rooms = {name.partition(".")[0] for name in names}
    assert rooms - sys.stdlib_module_names == {"argon2", "cryptography"}
