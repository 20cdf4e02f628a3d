"""Bad archives of format V2 in a whole restore: by an enemy with the password, too, and not a byte of them is used."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path
from typing import Any

import psycopg
import pytest

from kleidia_backup import DamagedArchive, DirectorySettings, restore
from kleidia_backup.formats.errors import ArchiveError

from .conftest import System

pytestmark = pytest.mark.anyio

HERE = Path(__file__).parents[1] / "formats" / "v2_vectors"
#: By the layer at which the page refuses them, those that a password opens.
VECTORS: dict[str, list[dict[str, Any]]] = {}
for _vector in json.loads((HERE / "vectors.json").read_text()):
    if "key" not in _vector:
        VECTORS.setdefault(_vector["expect"], []).append(_vector)
#: Of each layer: each so many-th, or all.
STEP = 1 if os.environ.get("KLEIDIA_TEST_ALL_CASES") else 5


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The vectors as files."""
    directory = tmp_path_factory.mktemp("vectors")
    with tarfile.open(HERE / "vectors.tar.xz") as stored:
        stored.extractall(directory, filter="data")
    return directory


@pytest.mark.parametrize("layer", ["header", "slots", "seal", "tar", "chunk", "zstd", "payload", "index", "signature"])
async def test_nothing_of_a_bad_archive_is_used(layer: str, archives: Path, system: System) -> None:
    """Its table is not there afterwards, no secret is, and no row or secret of ours has changed."""
    rows, secrets = system.rows(), system.secrets()
    tried = 0
    for vector in VECTORS[layer][::STEP]:
        if vector["file"] == "signature-not-trusted.enc":  # by the page good, unless signers are named
            continue
        with pytest.raises(ArchiveError) as caught:
            await restore(
                vector["file"],
                store=DirectorySettings(archives),
                password=vector["password"],
                database=system.postgres,
                vault=system.vault,
            )
        assert isinstance(caught.value, DamagedArchive), vector["file"]
        assert caught.value.layer == layer, vector["file"]
        tried += 1
    assert tried
    assert (system.rows(), system.secrets()) == (rows, secrets)


async def test_the_archive_that_all_are_made_from_is_restored(archives: Path, system: System) -> None:
    """So what was refused above was refused for its one fault."""
    [good] = [each for each in VECTORS["ok"] if each["file"] == "ok-plain.enc"]
    with psycopg.connect(system.conninfo, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS public.t")
    done = await restore(
        good["file"],
        store=DirectorySettings(archives),
        password=good["password"],
        database=system.postgres,
        vault=system.vault,
    )
    assert (done.tables, done.rows) == (1, 3)
    assert len(system.sql("SELECT * FROM public.t")) == 3
