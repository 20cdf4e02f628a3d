"""The directory that ``demo --keep`` is given, and that ``demo --stop`` ends the servers of."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from kleidia_backup.commands.demo import how_to_go_on

from .conftest import Outcome

Call = Callable[..., Outcome]


def test_a_directory_that_cannot_be_written(call: Call, alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Status 2 with the path and the cause, before any server is started."""
    (alone / "file").touch()
    for directory in (alone / "file", alone / "file" / "below"):
        refused = call("demo", "--keep", directory)
        assert refused.status == 2
        assert f"error: {directory}, the directory of --keep, cannot be written: Not a directory." in refused.err

    def forbidden(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    (alone / "empty").mkdir()
    monkeypatch.setattr(Path, "mkdir", forbidden)
    refused = call("demo", "--keep", alone / "empty")
    assert (refused.status, "empty, the directory of --keep, cannot be written: Permission denied." in refused.err) == (
        2,
        True,
    )


def test_what_the_demo_says_can_be_pasted(call: Call, alone: Path) -> None:
    """Commands with a directory that has blanks in its name are what a shell reads as one word."""
    directory = alone / "my system's"
    commands = re.findall(r"kleidia-backup (?:demo|--config) [^`\n]+", how_to_go_on(directory))
    assert [shlex.split(each)[1:] for each in commands] == [
        ["demo", "--stop", str(directory)],
        ["--config", str(directory / "kleidia-backup.toml"), "list"],
    ]
    directory.mkdir()
    (directory / "file").touch()
    (stop,) = re.findall(r"`(.*)` ends servers", call("demo", "--keep", directory).err)
    assert shlex.split(stop) == ["kleidia-backup", "demo", "--stop", str(directory)]


def test_a_demo_of_somebody_else_is_not_stopped(call: Call, alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Status 2 and who may stop it; where there is none, that is what is said."""
    (alone / "theirs" / "servers").mkdir(parents=True)
    assert "No demo runs in" in call("demo", "--stop", alone / "theirs").err
    assert "No demo runs in" in call("demo", "--stop", alone / "gone").err
    monkeypatch.setattr(os, "geteuid", lambda: alone.stat().st_uid + 1)
    refused = call("demo", "--stop", alone / "theirs")
    assert (refused.status, "was started by another user" in refused.err) == (2, True)
