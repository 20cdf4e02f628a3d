"""The real stores that whole jobs run against, one after the other: what each is called, and a bucket there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from kleidia_backup.demo.servers.s3 import Bucket

from ...cli.conftest import alone, call
from ...cli.test_end_to_end import Installation, installation
from ...pipelines.conftest import system
from ..conftest import ENDPOINT

__all__ = ["alone", "call", "installation", "system"]

_BUCKETS = {
    "moto": "bucket",
    "rclone": "rclone_bucket",
    "seaweedfs": "seaweed_bucket",
    "endpoint": "endpoint_bucket",
}


@dataclass(frozen=True)
class Place:
    """A store, and a bucket of it in which nothing is, below what its names begin with."""

    id: str
    bucket: Bucket

    @property
    def prefix(self) -> str:
        """The folder for archives."""
        return f"{self.bucket.under}backups/"

    def configuration(self) -> str:
        """The section of the store; its secret key is in the file ``s3`` beside it."""
        server = self.bucket.server
        trust = f'ca_file = "{server.ca_file}"\n' if server.ca_file else ""
        return (
            f'type = "s3"\nendpoint = "{server.endpoint}"\nregion = "{server.region}"\nbucket = "{self.bucket.name}"\n'
            f'prefix = "{self.prefix}"\naccess_key_id = "{server.access_key}"\nsecret_access_key_file = "s3"\n'
            f"path_style = {'true' if server.path_style else 'false'}\n{trust}"
        )


@pytest.fixture(params=["moto", "rclone", "seaweedfs", *ENDPOINT])
def place(request: pytest.FixtureRequest) -> Place:
    """Each of them in turn."""
    return Place(request.param, request.getfixturevalue(_BUCKETS[request.param]))


@pytest.fixture
def placed(installation: Installation, place: Place, tmp_path: Path) -> Installation:
    """The installation, with archives in the store."""
    (tmp_path / "s3").write_text(place.bucket.server.secret_key, encoding="utf-8")
    installation.configure(place.configuration())
    installation.secrets.append(place.bucket.server.secret_key)
    return installation
