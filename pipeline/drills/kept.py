"""The directory of reports: each names the one before by its digest. Blocking; call it in a thread."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...stages.errors import ConfigurationError
from ..reports.words import as_json
from .canonical import SIGNATURE, canonical, check_signature, digest, signed
from .page import page
from .proven import PATTERN, read_report
from .report import DrillReport, Previous

if TYPE_CHECKING:
    from ...formats.v2.keys.pairs import SigningKey, VerifyKey

_LOCK = "drills.lock"


def keep(report: DrillReport, directory: Path | None, key: SigningKey | None) -> DrillReport:
    """Compare with the report before, chain, sign, and write it with a page to print; returns it as it was written.

    Without a directory nothing is written. Raises ``ConfigurationError`` when it cannot be.
    """
    if directory is None:
        return report
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(directory):
            before = _newest(directory)
            if before is not None:
                report = _compared(report, before)
            name = f"drill-{report.started:%Y%m%dT%H%M%S.%fZ}-{report.id[:8]}"
            report = replace(report, file=str(directory / f"{name}.json"))
            document = as_document(report)
            if key is not None:
                document = signed(document, key)
            _write(directory / f"{name}.json", canonical(document) + b"\n")
            _write(directory / f"{name}.html", page(document).encode())
    except OSError as exc:
        raise ConfigurationError(
            f"The drill's report cannot be kept in {directory}: {os.strerror(exc.errno or 0)}. "
            f"The verdict was: {report.verdict}.",
            hint="Set reports in [drill] to a directory of this user's own with space in it.",
        ) from exc
    return report


def as_document(report: DrillReport) -> dict[str, Any]:
    """The report as JSON has it; where it lies is no part of it."""
    document: dict[str, Any] = as_json(report)
    return {name: value for name, value in document.items() if name != "file"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A report in the directory: ``trouble`` says why it is not to be believed; empty: chain and signature fit."""

    file: str
    id: str
    started: str
    verdict: str
    signed: bool
    trouble: str


def check_reports(directory: Path, trusted: Iterable[VerifyKey] = ()) -> list[Kept]:
    """Check every report, oldest first: each names the one before, and where keys are trusted one of them signed it.

    A report that was removed from the end of the chain leaves no trace there. Raises ``ConfigurationError``.
    """
    keys = [each.raw for each in trusted]
    found: list[Kept] = []
    before: str | None = None
    try:
        for path in sorted(directory.glob(PATTERN)):
            report = read_report(path)
            if report is None:
                found.append(Kept(file=path.name, id="", started="", verdict="", signed=False, trouble="no report"))
                before = ""
                continue
            trouble = []
            named = report.get("previous") or {}
            if before is not None and named.get("sha256") != before:
                trouble.append("it does not follow the report before")
            if keys and not any(check_signature(report, key) for key in keys):
                trouble.append("it is not signed by a trusted key")
            said = {name: str(report.get(name, "")) for name in ("id", "started", "verdict")}
            found.append(Kept(file=path.name, **said, signed=SIGNATURE in report, trouble=", ".join(trouble)))
            before = digest(report)
    except OSError as exc:
        raise ConfigurationError(
            f"The reports in {directory} cannot be read: {os.strerror(exc.errno or 0)}.",
            hint="Correct reports in [drill], or the directory's mode.",
        ) from exc
    return found


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Two drills that end at once have one chain."""
    lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _newest(directory: Path) -> dict[str, Any] | None:
    for path in sorted(directory.glob(PATTERN), reverse=True):
        if (report := read_report(path)) is not None:
            return report
    return None


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _compared(report: DrillReport, before: dict[str, Any]) -> DrillReport:
    """Chained to the report before, with warnings of what shrank since."""
    previous = Previous(id=str(before.get("id", "")), verdict=str(before.get("verdict", "")), sha256=digest(before))
    return replace(report, previous=previous, warnings=(*report.warnings, *_shrunk(report, before)))


def _shrunk(report: DrillReport, before: dict[str, Any]) -> Iterator[str]:
    """A table that is gone, and what is less than half of what it was, is worth a look: no verdict."""
    if report.database is not None:
        now = {table.name: table.rows_in_archive for table in report.database.tables}
        for table in (before.get("database") or {}).get("tables", ()):
            name, rows = str(table.get("name")), int(table.get("rows_in_archive") or 0)
            if rows and name not in now:
                yield f"The table {name} had {rows:,} rows in the drill before and is not in this archive."
            elif rows and now[name] * 2 < rows:
                yield f"The table {name} has {now[name]:,} rows; in the drill before it had {rows:,}."
    if report.vault is not None:
        secrets = int((before.get("vault") or {}).get("secrets_in_archive") or 0)
        if report.vault.secrets_in_archive * 2 < secrets:
            now_secrets = report.vault.secrets_in_archive
            yield f"The archive has {now_secrets:,} secrets; in the drill before it had {secrets:,}."
