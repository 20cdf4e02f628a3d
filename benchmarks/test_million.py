"""One million secrets, from and to a stand-in for a vault: as much memory as for few, and as fast at the end."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from kleidia_backup import DirectorySettings, Root, TokenAuth, VaultSettings

from . import command
from .configuration import configuration
from .measuring import Measure
from .system import Sizes

pytestmark = pytest.mark.timeout(3600)


@contextmanager
def stand_in(count: int, mode: str) -> Iterator[VaultSettings]:
    """A stand-in with so many secrets, or one that takes so many."""
    script = Path(__file__).with_name("stand_in.py")
    with subprocess.Popen(
        [sys.executable, str(script), str(count), mode], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            yield VaultSettings(address, TokenAuth("a-token"), (Root("yubikeys/", "yubikeys"),))
        finally:
            process.kill()


def halves(vault: VaultSettings) -> tuple[float, float]:
    """The rates of the first and the second half of the work, in secrets a second times a constant."""
    with urllib.request.urlopen(f"{vault.address}/v1//progress") as answer:
        times = json.load(answer)["times"]
    assert len(times) == 100
    middle = times[50]
    return 50 / (middle - times[0]), 49 / (times[-1] - middle)


def run(directory: Path, count: int, *given: str) -> dict[str, float]:
    """Back up so many secrets, with such options, and restore them.

    The peaks in MiB, and the second half's rates by the first's.
    """
    directory.mkdir()
    (directory / "store").mkdir(mode=0o700)
    (directory / "state").mkdir(mode=0o700)
    where = partial(configuration, store=DirectorySettings(directory / "store"), state=directory / "state")
    found: dict[str, float] = {}
    with stand_in(count, "full") as vault:
        source = where(directory / "source.toml", vault=vault)
        found["backup"], made = command.run(source, "backup", "--type", "vault", *given)
        first, second = halves(vault)
        found["backup_rate"], found["backup_per_second"] = second / first, count / made["seconds"]["backup"]
    assert made["secrets"] == count
    with stand_in(count, "empty") as vault:
        into = where(directory / "target.toml", vault=vault)
        found["restore"], back = command.run(into, "restore", "--yes", str(made["name"]))
        first, second = halves(vault)
        found["restore_rate"], found["restore_per_second"] = second / first, count / back["seconds"]["restore"]
    assert back["written"] == count
    return found


@pytest.mark.parametrize(("end", "given"), [("", ()), ("_v2", ("--format", "v2"))], ids=["v1", "v2"])
def test_million(measure: Measure, sizes: Sizes, tmp_path: Path, end: str, given: tuple[str, ...]) -> None:
    """Twenty times as many secrets (five times in the short form): the same memory, and no slower."""
    few, many = sizes.million

    def both() -> list[dict[str, float]]:
        return [run(tmp_path / str(count), count, *given) for count in (few, many)]

    small, large = measure.race(both, rounds=1)
    for kind, name in (("backup", "million"), ("restore", "million_restore")):
        growth = large[kind] - small[kind]
        measure.line(f"{name}_memory{end}", growth, few=small[kind], many=large[kind], secrets=many)
        measure.line(f"{name}_rate{end}", large[f"{kind}_rate"], per_second=large[f"{kind}_per_second"])
    measure.judge()
