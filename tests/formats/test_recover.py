"""``recover.py``, run as its readers run it: alone, with tar and zstd, on every vector of format V2."""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import os
import pty
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from kleidia_backup.formats.errors import DamagedArchive
from kleidia_backup.formats.v2 import recover
from kleidia_backup.formats.v2.facts import ArchiveFacts

HERE = Path(__file__).parent
SCRIPT = HERE.parent.parent / "formats" / "v2" / "recover.py"
VECTORS: list[dict[str, Any]] = json.loads((HERE / "v2_vectors" / "vectors.json").read_text())
GOOD = [pytest.param(vector, id=vector["file"]) for vector in VECTORS if vector["expect"] == "ok"]
#: It leaves what is inside the payload to tar, zstd and the person.
HEAD = {"magic", "header", "slots", "password", "seal"}
UNSIGNED = "signature-public-key-unsigned.enc"


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The vectors as files."""
    directory = tmp_path_factory.mktemp("vectors")
    with tarfile.open(HERE / "v2_vectors" / "vectors.tar.xz") as stored:
        stored.extractall(directory, filter="data")
    return directory


def options(vector: dict[str, Any], directory: Path) -> list[str]:
    """How to open a vector: its password or key in a file."""
    place = directory / "secret"
    if "key" in vector:
        place.write_text(f"# the key of the vectors\n\n{vector['key']}\n")
        return ["--key", str(place)]
    place.write_bytes(vector["password"].encode() + b"\n")
    return ["--password-file", str(place)]


def run(*arguments: str | Path, **how: Any) -> subprocess.CompletedProcess[bytes]:
    """The script in a process of its own, which sees no package beside it."""
    command = [sys.executable, "-I", str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=60, check=False, **how)


def vector_of(name: str) -> dict[str, Any]:
    [vector] = [vector for vector in VECTORS if vector["file"] == name]
    return vector


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("vector", GOOD)
def test_a_good_archive_gives_its_payload(vector: dict[str, Any], archives: Path, tmp_path: Path) -> None:
    """Byte for byte; and a stock tar and zstd take it apart."""
    payload = tmp_path / "payload.tar"
    done = run(archives / vector["file"], *options(vector, tmp_path), "--output", payload)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert sha256(payload.read_bytes()) == vector["payload_sha256"]
    assert payload.stat().st_mode & 0o777 == 0o600
    names = subprocess.run(["tar", "-tf", payload], check=True, capture_output=True, text=True).stdout.split()
    assert names[0] == "meta/begin.json"
    if shutil.which("zstd") is None:
        pytest.skip("there is no zstd program here")
    for room in ("db", "kv"):
        out = b""
        if any(name.startswith(f"{room}/") for name in names):
            line = f"set -o pipefail; tar -xOf '{payload}' --wildcards '{room}/*' | zstd -d"
            out = subprocess.run(["bash", "-c", line], check=True, capture_output=True).stdout
        assert sha256(out) == vector[f"{room}_sha256"]


def test_a_bad_archive_is_refused(
    archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The layer is named, in one line, and nothing is left behind."""
    place, out = tmp_path / "secrets", tmp_path / "out"
    place.mkdir()
    out.mkdir()
    wrong: dict[str, str] = {}
    for vector in VECTORS:
        arguments = [str(archives / vector["file"]), *options(vector, place), "--output", str(out / "payload.tar")]
        monkeypatch.setattr(sys, "argv", ["recover.py", *arguments])
        try:
            recover.main()
            found = "ok"
            assert sha256((out / "payload.tar").read_bytes()) == vector["payload_sha256"]
            (out / "payload.tar").unlink()
        except SystemExit as exc:
            message = str(exc.code)
            found = message.split(": ")[1]
            assert message.startswith("recover.py: ")
            assert "; " in message
            assert "\n" not in message
        assert list(out.iterdir()) == []
        looks = vector["expect"] in HEAD or vector["file"] == UNSIGNED
        if found != (vector["expect"] if looks else "ok"):
            wrong[vector["file"]] = found
    assert wrong == {}
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "name",
    [
        "magic-v1.enc",
        "header-cut-in-facts.enc",
        "header-mac-first.enc",
        "slots-m-4-tib.enc",
        "password-other.enc",
        "password-key-other.enc",
        "seal-cut-last-byte.enc",
        "seal-two-last-flipped.enc",
        "seal-two-first-flipped.enc",
        "signature-public-key-unsigned.enc",
    ],
)
def test_as_a_process(name: str, archives: Path, tmp_path: Path) -> None:
    """Exit code 1, one line, and no byte of a payload, neither in a file nor on the standard output."""
    vector, out = vector_of(name), tmp_path / "out"
    out.mkdir()
    how = options(vector, tmp_path)
    targets: list[list[str]] = [[], ["--output", str(out / "payload.tar")]]
    for target in targets:
        done = run(archives / name, *how, *target)
        assert (done.returncode, done.stdout) == (1, b"")
        [line] = done.stderr.decode().splitlines()
        assert line.startswith(f"recover.py: {vector['expect']}: ")
        assert list(out.iterdir()) == []


def test_to_the_standard_output(archives: Path, tmp_path: Path) -> None:
    """The payload, after all of it was checked."""
    vector = vector_of("ok-two-segments.enc")
    done = run(archives / vector["file"], *options(vector, tmp_path))
    assert (done.returncode, done.stderr) == (0, b"")
    assert sha256(done.stdout) == vector["payload_sha256"]


def test_what_is_no_file(archives: Path, tmp_path: Path) -> None:
    """One line as well; a key that is none is not repeated."""
    vector = vector_of("ok-plain.enc")
    how, archive = options(vector, tmp_path), archives / vector["file"]
    key = tmp_path / "key"
    key.write_text("not-a-key-but-secret\n")
    (tmp_path / "typo").write_text("kleidia-secret-x25519:" + "A" * 48 + "\n")
    for arguments in (
        [tmp_path / "nothing", *how],
        [archive, "--password-file", tmp_path / "nothing"],
        [archive, "--key", key],
        [archive, "--key", tmp_path / "typo"],
        [archive, *how, "--output", tmp_path / "no" / "payload.tar"],
    ):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (1, b"")
        [line] = done.stderr.decode().splitlines()
        assert line.startswith("recover.py: files: ")
        assert "but-secret" not in line


def test_the_password_is_asked_for_on_the_terminal(archives: Path, tmp_path: Path) -> None:
    """It is never an argument, and not shown."""
    vector, payload = vector_of("ok-plain.enc"), tmp_path / "payload.tar"
    child, terminal = pty.fork()
    if child == 0:
        command = [sys.executable, "-I", str(SCRIPT), str(archives / vector["file"]), "--output", str(payload)]
        os.execv(sys.executable, command)
    shown = os.read(terminal, 1000)
    assert b"Password" in shown
    os.write(terminal, vector["password"].encode() + b"\n")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(terminal)
    assert sha256(payload.read_bytes()) == vector["payload_sha256"]
    nobody = run(archives / vector["file"], "--output", payload, stdin=subprocess.DEVNULL, start_new_session=True)
    assert nobody.returncode == 1
    assert b"recover.py: files: no password was given; " in nobody.stderr


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("ok-signed.enc", True),
        ("ok-slots-key.enc", True),
        ("signature-flip-first.enc", False),
        ("signature-by-another.enc", False),
        ("signature-not-trusted.enc", False),
        ("ok-plain.enc", False),
    ],
)
def test_the_page_s_check_of_a_signature(name: str, right: bool, archives: Path, tmp_path: Path) -> None:
    """The lines of section 11, with openssl: they notice a stranger, and a chunk that is not the listed one."""
    text = (SCRIPT.parent / "SPEC.md").read_text().partition("## 11.")[2].partition("## 12.")[0]
    lines = [line[4:] for line in text.splitlines() if line.startswith("    ")]
    signer = vector_of("ok-signed.enc")["trust"]
    commands = "\n".join(["set -e -o pipefail", *lines[lines.index("tar -xf payload.tar") :]])
    commands = commands.replace("ARCHIVE", str(archives / name)).replace("SIGNER", signer)
    if shutil.which("zstd") is None or shutil.which("openssl") is None:
        pytest.skip("there is no zstd or no openssl program here")
    directory = tmp_path / "empty"
    directory.mkdir()
    vector = vector_of(name)
    done = run(archives / name, *options(vector, tmp_path), "--output", directory / "payload.tar")
    assert done.returncode == 0
    checked = subprocess.run(["bash", "-c", commands], cwd=directory, capture_output=True, check=False)
    assert (checked.returncode == 0) == right, checked.stderr
    if right:
        (directory / "db" / "00000000.sql.zst").write_bytes(b"another")
        again = commands.replace("tar -xf payload.tar\n", "")
        assert subprocess.run(["bash", "-c", again], cwd=directory, capture_output=True, check=False).returncode != 0


def test_hpke_is_the_library_s() -> None:
    """What the script does by hand, since older libraries have no HPKE."""
    private = X25519PrivateKey.generate()
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
    sealed = suite.encrypt(bytes(range(32)), private.public_key(), info=b"something")
    assert recover.hpke_open(private, sealed, b"something") == bytes(range(32))


FACTS = {
    "version": 2,
    "id": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "created_at": "2026-02-28T23:59:59Z",
    "backup_type": "full",
    **dict.fromkeys(("includes_db", "includes_kv", "includes_audit"), True),
}


@pytest.mark.parametrize(
    ("changed", "good"),
    [
        ({}, True),
        ({"created_at": "1970-01-01T00:00:00Z"}, True),
        ({"created_at": "2242-03-16T12:56:31Z"}, True),
        ({"created_at": "2242-03-16T12:56:32Z"}, False),  # no room in the header of a tar
        ({"created_at": "1969-12-31T23:59:59Z"}, False),
        ({"created_at": "2026-02-29T00:00:00Z"}, False),
        ({"created_at": "2026-2-28T00:00:00Z"}, False),
        ({"created_at": "2026-01-01T00:00:60Z"}, False),
        ({"more": [None, 2**53, -(2**53), "[[{{"]}, True),
        ({"more": 2**53 + 1}, False),
        ({"more": -(2**53) - 1}, False),
        ({"more": json.loads("[" * 63 + "]" * 63)}, True),
        ({"more": json.loads("[" * 64 + "]" * 64)}, False),
    ],
)
def test_facts_are_what_the_page_says(changed: dict[str, Any], good: bool) -> None:
    """Times that are none, numbers that not everybody reads, and JSON that is nested too deep are damage."""
    text = json.dumps(FACTS | changed).encode()
    if good:
        assert ArchiveFacts.decode(text).id == recover.check_facts(text)["id"]
        return
    with pytest.raises(DamagedArchive):
        ArchiveFacts.decode(text)
    with pytest.raises(ValueError, match=r"."):
        recover.check_facts(text)


def test_all_the_work_of_one_password() -> None:
    """The limit over all slots, of which no vector has one: a wrong password must not take minutes."""
    slot: dict[str, Any] = {"type": "password", "kdf": "argon2id", "t": 8, "m": 262_144, "p": 1}
    slot |= {name: base64.b64encode(bytes(size)).decode() for name, size in recover.SIZES["password"].items()}
    assert len(recover.check_slots(json.dumps({"slots": [slot]}).encode())) == 1
    for found in ([slot | {"t": 9}], [slot, slot | {"t": 1, "m": 8}]):
        with pytest.raises(ValueError, match="work of all passwords"):
            recover.check_slots(json.dumps({"slots": found}).encode())


def test_it_is_one_short_file_that_needs_two_packages() -> None:
    """A person under stress can read it, and has little to install."""
    text = SCRIPT.read_text()
    assert len(text.splitlines()) < 200
    modules = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert modules - sys.stdlib_module_names == {"argon2", "cryptography"}


def test_the_vectors_are_what_the_generator_writes(archives: Path, tmp_path: Path) -> None:
    """The second writer, alone and without this package, writes every file and ``vectors.json`` as they are here."""
    command = [sys.executable, "-m", "tests.formats.make_v2_vectors", str(tmp_path)]
    subprocess.run(command, cwd=HERE.parent.parent, check=True, timeout=60)
    made = {path.name: path.read_bytes() for path in tmp_path.glob("*.enc")}
    kept = {path.name: path.read_bytes() for path in archives.iterdir()}
    assert made.keys() == kept.keys() == {vector["file"] for vector in VECTORS}
    assert [name for name in made if made[name] != kept[name]] == []
    assert (tmp_path / "vectors.json").read_bytes() == (HERE / "v2_vectors" / "vectors.json").read_bytes()
    assert all(sha256(kept[vector["file"]]) == vector["sha256"] for vector in VECTORS)


def test_the_vectors_are_small() -> None:
    """Together, as they are stored; each says in its name which layer must fail."""
    assert sum(path.stat().st_size for path in (HERE / "v2_vectors").iterdir()) < 1_500_000
    assert all(vector["comment"] and vector["file"].startswith(vector["expect"] + "-") for vector in VECTORS)
