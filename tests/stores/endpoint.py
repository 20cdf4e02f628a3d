"""A store of somebody's own that the tests are to run against: where it is, from the environment.

``KLEIDIA_TEST_ENDPOINT`` is its URL (https://s3.eu-west-1.amazonaws.com), ``KLEIDIA_TEST_ENDPOINT_BUCKET`` a bucket
that exists, ``…_ACCESS_KEY`` and ``…_SECRET_KEY`` a key that may read, write, list and delete in it. And where they
differ from the usual: ``…_REGION`` (us-east-1), ``…_CA_FILE`` (a PEM file), ``…_PATH_STYLE`` (``no``: the bucket in the
host's name), ``…_LOCK_BUCKET`` (another bucket, with Object Lock and no rule of its own; what is locked there is locked
in governance mode, and the key may lift that), ``…_NAME`` (what the table of docs/stores.md calls it).

Nothing is touched but objects whose names begin with ``base``, which no other run has, and none of them stays.
"""

from __future__ import annotations

import contextlib
import os
import secrets

from kleidia_backup.demo.servers.s3 import Bucket, S3Server

_VARIABLE = "KLEIDIA_TEST_ENDPOINT"
#: What the names of all objects of this process's tests begin with, on each store.
BASE = f"kleidia-test-{secrets.token_hex(6)}/"


def named() -> bool:
    """Whether there is one."""
    return bool(os.environ.get(_VARIABLE))


def bucket() -> Bucket:
    """The bucket, below ``BASE``. Raises ``KeyError`` with the name of a variable that is missing."""
    return Bucket(_server(), os.environ[f"{_VARIABLE}_BUCKET"], BASE)


def lock_bucket() -> Bucket | None:
    """The bucket with Object Lock, below ``BASE``; None where none is named."""
    name = os.environ.get(f"{_VARIABLE}_LOCK_BUCKET")
    return Bucket(_server(), name, BASE) if name else None


def purge(bucket: Bucket) -> None:
    """Delete every version below ``BASE``, the locked ones too, and abort every upload."""
    with contextlib.closing(bucket.server.client()) as client:
        pages = client.get_paginator("list_object_versions").paginate(Bucket=bucket.name, Prefix=bucket.under)
        for page in pages:
            for each in page.get("Versions", []):
                client.put_object_legal_hold(
                    Bucket=bucket.name, Key=each["Key"], VersionId=each["VersionId"], LegalHold={"Status": "OFF"}
                )
            for each in page.get("Versions", []) + page.get("DeleteMarkers", []):
                client.delete_object(
                    Bucket=bucket.name,
                    Key=each["Key"],
                    VersionId=each["VersionId"],
                    BypassGovernanceRetention=True,
                )
    bucket.empty()


def name() -> str:
    """What the table calls it."""
    return os.environ.get(f"{_VARIABLE}_NAME") or os.environ[_VARIABLE]


def _server() -> S3Server:
    return S3Server(
        os.environ[_VARIABLE],
        os.environ[f"{_VARIABLE}_ACCESS_KEY"],
        os.environ[f"{_VARIABLE}_SECRET_KEY"],
        os.environ.get(f"{_VARIABLE}_REGION") or "us-east-1",
        os.environ.get(f"{_VARIABLE}_CA_FILE", ""),
        os.environ.get(f"{_VARIABLE}_PATH_STYLE", "yes") != "no",
    )
