"""The second writer's vectors of format V2, by the package's own reader: ``verify`` says what the page says."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from kleidia_backup.formats.errors import ArchiveError, DamagedArchive, WrongPassword
from kleidia_backup.pipeline.verify import verify
from kleidia_backup.stages.errors import ConfigurationError
from kleidia_backup.stages.stores.directory.store import DirectorySettings

HERE = Path(__file__).parent / "v2_vectors"
VECTORS: list[dict[str, Any]] = json.loads((HERE / "vectors.json").read_text())

#: What only a reader that restores must refuse.
RESTORE = {"signature-not-trusted.enc": "ok"}


def layer_of(error: ArchiveError | ConfigurationError) -> str:
    """The layer, in the words of the page, at which an archive was refused."""
    match error:
        case DamagedArchive():
            return error.layer
        case WrongPassword() | ConfigurationError():  # the latter: an empty password is asked of nobody
            return "password"
    return "magic"


@pytest.mark.anyio
async def test_verify_says_what_the_page_says(tmp_path: Path) -> None:
    """Of every vector that a password opens; those of a private key are opened by ``recover.py`` alone here."""
    with tarfile.open(HERE / "vectors.tar.xz") as stored:
        stored.extractall(tmp_path, filter="data")
    wrong: dict[str, str] = {}
    for vector in VECTORS:
        if "key" in vector:
            continue
        try:
            await verify(vector["file"], store=DirectorySettings(tmp_path), password=vector["password"])
            found = "ok"
        except (ArchiveError, ConfigurationError) as exc:
            found = layer_of(exc)
        if found != vector["expect"]:
            wrong[vector["file"]] = found
    assert wrong == RESTORE
