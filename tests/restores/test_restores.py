"""Whole backups and restores of databases that make them hard; each is tried as a dry run first."""

from __future__ import annotations

import os
from itertools import chain
from pathlib import Path

import pytest

from . import going_back, places, preserved, settings, silence, staying, unresolvable
from .case import Case
from .known import marks
from .lab import Lab
from .running import run

pytestmark = pytest.mark.anyio

_ROOMS = {
    "going back": going_back.CASES,
    "unresolvable": unresolvable.CASES,
    "silence": silence.CASES,
    "places": places.CASES,
    "settings": settings.CASES,
    "preserved": preserved.CASES,
    "staying": staying.CASES,
}

_ALL = os.environ.get("KLEIDIA_TEST_ALL_CASES")
_EVERY = [
    pytest.param(
        case,
        id=f"{room}: {case.name}",
        marks=marks(f"{room}: {case.name}", thorough=case.thorough),
    )
    for room, case in chain.from_iterable([(room, case) for case in cases] for room, cases in _ROOMS.items())
]


_THOROUGH = [each for each in _EVERY if any(mark.name == "thorough" for mark in each.marks)]
#: Of the thorough cases each second, or all when they are asked for: CI has an hour.
_LEFT = () if _ALL else {each.id for each in _THOROUGH[1::2]}
_CASES = [each for each in _EVERY if each.id not in _LEFT]
#: What is restored is SQL, whatever held it: V2 takes each eighth case, or all.
_OF_V2 = _EVERY if _ALL else _EVERY[::8]


@pytest.mark.parametrize("case", _CASES)
async def test_backup_and_restore(case: Case, lab: Lab, store_directory: Path) -> None:
    """What is restored is what was backed up, or nothing changed; and the dry run said which."""
    await run(case, lab, store_directory)


@pytest.mark.thorough
@pytest.mark.parametrize("archive_format", ["v2"], indirect=True)
@pytest.mark.parametrize("case", _OF_V2)
async def test_backup_and_restore_of_v2(case: Case, lab: Lab, store_directory: Path) -> None:
    """The same with an archive of format V2."""
    await run(case, lab, store_directory)
