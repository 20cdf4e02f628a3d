"""Whole jobs against each store, by the command: an archive from its beginning to its end, and what a store refuses."""

from __future__ import annotations

import base64
import os
import ssl
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from ...cli.test_end_to_end import Installation
from .conftest import Place

#: Bytes of the archive that is large: 300 MB, as the archive is made of what no codec makes smaller.
LARGE = 300_000_000


@pytest.mark.parametrize("form", [pytest.param("v1", marks=pytest.mark.thorough), "v2"])
def test_an_archive_from_its_beginning_to_its_end(
    placed: Installation, place: Place, form: str, tmp_path: Path
) -> None:
    """Check, backup, list, verify, download, URL, restore of both servers, pin and delete; nothing else is left."""
    run, before = placed.run, placed.content()
    tested = run("test-connection", "--json")
    assert (tested.status, tested.json["ok"]) == (0, True), tested.everything
    made = run("backup", "--format", form, "--json")
    assert made.status == 0, made.everything
    name = made.json["name"]
    assert place.bucket.keys() == [name]
    (listed,) = run("list", "--json").json["archives"]
    assert (listed["name"], listed["size"]) == (name, made.json["size"])
    verified = run("verify", "latest", "--json")
    assert (verified.status, verified.json["secrets"]) == (0, 6), verified.everything
    copy = tmp_path / "copy.enc"
    assert run("download", name, copy).status == 0
    assert copy.stat().st_size == made.json["size"]
    url = run("url", name)
    assert url.status == 0, url.everything
    trust = ssl.create_default_context(cafile=place.bucket.server.ca_file or None)
    with urllib.request.urlopen(url.out.strip(), context=trust) as answer:
        assert answer.read() == copy.read_bytes()
    placed.wreck()
    assert placed.content() != before
    restored = run("restore", name, "--yes", "--json")
    assert restored.status == 0, restored.everything
    assert placed.content() == before
    assert run("delete", name, "--yes").status == 0
    assert (place.bucket.keys(), place.bucket.uploads()) == ([], [])


@pytest.mark.thorough
def test_an_archive_of_300_mb(placed: Installation, place: Place, fill: Callable[[str], None]) -> None:
    """Made in many parts and read to its last byte; restored from stores of their own kind."""
    fill(placed.conninfo)
    made = placed.run("backup", "--format", "v2", "--json")
    assert made.status == 0, made.everything
    assert made.json["size"] > LARGE
    assert place.bucket.uploads() == []
    verified = placed.run("verify", "latest", "--json")
    assert (verified.status, verified.json["sql_bytes"]) == (0, made.json["sql_bytes"]), verified.everything
    if place.id in {"seaweedfs", "endpoint"}:
        before = placed.sql("SELECT sum(hashtext(body)), count(*) FROM large")
        placed.sql("DROP TABLE large")
        restored = placed.run("restore", "latest", "--yes", "--json")
        assert restored.status == 0, restored.everything
        assert placed.sql("SELECT sum(hashtext(body)), count(*) FROM large") == before
    assert placed.run("delete", made.json["name"], "--yes").status == 0
    assert place.bucket.keys() == []


@pytest.fixture
def fill() -> Callable[[str], None]:
    """Makes a table of ``LARGE`` random bytes, as text that a codec takes back to that."""

    def make(conninfo: str) -> None:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute("CREATE TABLE large (id int, body text STORAGE EXTERNAL)")
            with connection.cursor().copy("COPY large FROM STDIN") as copy:
                for number in range(LARGE // 600_000 + 1):
                    copy.write_row((number, base64.b64encode(os.urandom(600_000)).decode()))

    return make
