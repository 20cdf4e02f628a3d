"""Run the JavaScript reader: its own tests, all vectors of format V2, and archives that the package writes.

    python -m tests.formats.readers.run_node

It needs ``node`` and ``npm``, installs two packages for it into a copy, and leaves nothing. ``.ci/run`` runs it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kleidia_backup.formats.secret import Metadata, Secret, Version
from kleidia_backup.formats.v2.chunks import ROWS, Chunk, SqlChunks
from kleidia_backup.formats.v2.facts import ArchiveFacts
from kleidia_backup.formats.v2.floe import Sealer
from kleidia_backup.formats.v2.frames import Compress
from kleidia_backup.formats.v2.head import encode_head, facts_digest, payload_key
from kleidia_backup.formats.v2.keys.pairs import PrivateKey, SigningKey
from kleidia_backup.formats.v2.keys.signature import sign
from kleidia_backup.formats.v2.keys.slots import seal_password, seal_public
from kleidia_backup.formats.v2.kv import SecretChunks
from kleidia_backup.formats.v2.payload import PayloadWriter

HERE = Path(__file__).parent
PASSWORD = "pässwörd of the package"
CREATED = datetime(2026, 1, 17, 12, 0, 0, tzinfo=UTC)

#: Rows for several chunks, with ends of lines in values; a long statement and a long row, which are cut.
LONG = "x" * (9 * 1024 * 1024)
ROW = "{}\tcaf\u00e9\t\\\\\tline\\\nend\n"
SCRIPT = (
    "--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE public.t (a integer, b text, c text, d text);\n\n"
    "COPY public.t (a, b, c, d) FROM stdin;\n"
    + "".join(map(ROW.format, range(3 * ROWS // len(ROW))))
    + f"0\t{LONG}\t\\N\t\n"
    + "\\.\n\n\nCREATE TABLE public.none (a integer);\n\nCOPY public.none (a) FROM stdin;\n\\.\n\n\n"
    + f"COMMENT ON TABLE public.t IS '{LONG}';\n\nALTER TABLE ONLY public.t ADD PRIMARY KEY (a);\n"
).encode()
SECRETS = [
    Secret("jwt-secret", b'{"n":1e400,"deep":' + b"[" * 1000 + b"]" * 1000 + b"}"),
    Secret("caf\u00e9/\U0001f511", b'{\n "a" : "\\u0000\\ud800"\r\n}'),
    Secret("gone", b"", Metadata(max_versions=3), 2, (Version(1, b"{}"),), gone="deleted"),
    Secret("alone", b"", Metadata(custom_metadata={"a": "b"}), gone="none"),
    *(Secret(f"many/{n}", json.dumps({"n": n, "text": "y" * 1000}).encode()) for n in range(1000)),
]


def archive(
    name: str, folder: Path, *, signed: bool = False, database: bool = True, vault: bool = True
) -> dict[str, Any]:
    """Write one through the package's classes; gives its line for ``vectors.json``."""
    signing, identity = SigningKey.generate(), PrivateKey.generate("x25519")
    facts = ArchiveFacts(
        id="0190a0f0-1111-7222-8333-444455556666",
        created_at=CREATED,
        backup_type="full",
        includes_audit=False,
        system="tests",
        tool="kleidia-backup",
        signer=signing.public.raw if signed else b"",
        includes_db=database,
        includes_kv=vault,
    )
    data_key, digest = os.urandom(32), facts_digest(facts.encode())
    chunks: list[Chunk] = []
    if database:
        cutter = SqlChunks()
        for at in range(0, len(SCRIPT), 100_000):
            chunks += cutter.feed(SCRIPT[at : at + 100_000])
        chunks += cutter.finish()
    if vault:
        secrets = SecretChunks()
        chunks += [chunk for secret in SECRETS for chunk in secrets.feed(secret)]
        chunks += secrets.finish()
    writer, compress = PayloadWriter(CREATED), Compress()
    payload = writer.begin(facts.encode()) + b"".join(writer.add(compress(chunk)) for chunk in chunks)
    payload += b"".join(writer.finish(partial(sign, signing, digest) if signed else None))
    slots = [seal_password(PASSWORD, data_key, digest)]
    recipients = [seal_public(identity.public, data_key, digest)] if signed else []
    sealer = Sealer(payload_key(data_key), digest)
    whole = encode_head(facts, [*slots, *recipients], data_key) + b"".join([*sealer.feed(payload), *sealer.finish()])
    (folder / name).write_bytes(whole)
    kinds = {"db": ("sql", "rows"), "kv": ("kv",)}
    found = {room: b"".join(chunk.data for chunk in chunks if chunk.kind in kinds[room]) for room in kinds}
    return {
        "file": name,
        "comment": "written by the package",
        "expect": "ok",
        **({"key": identity.to_text()} if signed else {"password": PASSWORD}),
        "trust": base64.b64encode(signing.public.raw).decode(),
        "payload_sha256": hashlib.sha256(payload).hexdigest(),
        "sql_sha256": hashlib.sha256(SCRIPT if database else b"").hexdigest(),
        **{f"{room}_sha256": hashlib.sha256(data).hexdigest() for room, data in found.items()},
    }


def main() -> None:
    """All three; raises ``CalledProcessError`` when one of them fails."""
    with TemporaryDirectory() as directory:
        reader, stored, ours = (Path(directory, name) for name in ("reader", "stored", "ours"))
        shutil.copytree(HERE / "node", reader, ignore=shutil.ignore_patterns("node_modules"))
        node = partial(subprocess.run, cwd=reader, check=True)
        node(["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"])
        node(["node", "--test"])
        vectors = HERE.parent / "v2_vectors"
        with tarfile.open(vectors / "vectors.tar.xz") as packed:
            packed.extractall(stored, filter="data")
        shutil.copy(vectors / "vectors.json", stored)
        ours.mkdir()
        made = [
            archive("full.enc", ours),
            archive("signed.enc", ours, signed=True),
            archive("database.enc", ours, vault=False),
            archive("vault.enc", ours, database=False),
        ]
        (ours / "vectors.json").write_text(json.dumps(made))
        node(["node", "vectors.mjs", str(stored)])
        node(["node", "vectors.mjs", str(ours)])


if __name__ == "__main__":
    main()
