"""The report of a verification or a drill as tables that people read and print, on whichever replica it was made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from . import words

if TYPE_CHECKING:
    from ..control.jobs import Job
    from .frame import Viewpoint

#: What a verdict means.
VERDICTS = {
    "proven": "Proven: the archive was restored, and everything that was compared is as it says.",
    "verified": "Verified: the archive was read to its last byte, and everything in it is whole.",
    "failed": "Failed: the archive does not bring back what it should.",
    "inconclusive": "Inconclusive: it says nothing about the archive.",
}
_SIZES = {"size", "sql_bytes"}
_SECONDS = {"age_at_drill", "seconds", "target"}


@dataclass(frozen=True, slots=True)
class Section:
    """A table: with a head of ``columns``, or of names and values without one."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def sections(job: Job, frame: Viewpoint) -> list[Section]:
    """What a job's report says, part by part; what it says nothing of is left out."""
    report = job.report or {}
    made = [*(_of_drill(report, frame) if job.kind == "drill" else _of_verification(report, frame))]
    return [each for each in made if each.rows]


def _of_verification(report: Mapping[str, Any], frame: Viewpoint) -> Iterator[Section]:
    yield _pairs("Archive", {name: report.get(name) for name in ("name", "size", "signer", "trusted")}, frame)
    yield _pairs("What the archive says of itself", report.get("header") or {}, frame)
    counted = ("tables", "rows", "sql_bytes", "secrets")
    yield _pairs("What was read", {name: report.get(name) for name in counted}, frame)
    yield _pairs("Seconds", {name: words.duration(took) for name, took in report.get("seconds", {}).items()}, frame)


def _of_drill(report: Mapping[str, Any], frame: Viewpoint) -> Iterator[Section]:
    named = ("id", "trigger", "requested_by", "tool", "started", "ended", "cause", "cleaned_up", "left_behind")
    yield _rows("Not as the archive says", ("check", "name"), report.get("failures", ()), frame)
    yield _pairs("Archive", report.get("archive") or {}, frame)
    yield _pairs("Time of the restore", report.get("rto") or {}, frame)
    yield _pairs("Age of the data", report.get("rpo") or {}, frame)
    database = report.get("database") or {}
    columns = ("name", "rows_in_archive", "rows_restored", "equal")
    yield _rows("Tables", columns, database.get("tables", ()), frame)
    yield _pairs("Objects of the database", database.get("objects") or {}, frame)
    yield _pairs("Secrets, compared value by value", report.get("vault") or {}, frame)
    yield _rows("Checks of the configuration", ("name", "expected", "found", "passed"), report.get("checks", ()), frame)
    yield _rows("Steps", ("name", "started", "seconds", "result"), report.get("steps", ()), frame)
    yield _pairs("Environment", report.get("environment") or {}, frame)
    yield _pairs("Drill", {name: report.get(name) for name in named}, frame)
    yield _pairs("The report before", report.get("previous") or {}, frame)


def _pairs(title: str, values: Mapping[str, Any], frame: Viewpoint) -> Section:
    known = ((name, value) for name, value in values.items() if value not in (None, "", [], {}))
    return Section(title, (), tuple((_name(name), _text(name, value, frame)) for name, value in known))


def _rows(title: str, columns: tuple[str, ...], rows: Iterable[Mapping[str, Any]], frame: Viewpoint) -> Section:
    lines = tuple(tuple(_text(name, row.get(name), frame) for name in columns) for row in rows)
    return Section(title, tuple(_name(name) for name in columns), lines)


def _name(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _text(name: str, value: Any, frame: Viewpoint) -> str:
    if value is None:
        return "\u2013"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(each) for each in value) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{_name(key)}: {_text(key, each, frame)}" for key, each in value.items())
    if isinstance(value, (int, float)):
        of = words.size if name in _SIZES else words.duration if name in _SECONDS else words.number
        return of(value)
    return _moment(name, str(value), frame)


def _moment(name: str, text: str, frame: Viewpoint) -> str:
    if name in {"started", "ended", "created_at"}:
        try:
            return frame.when(datetime.fromisoformat(text))
        except ValueError:
            return text
    return text
