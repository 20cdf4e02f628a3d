"""Runs a case: backup, what happens then, dry run, restore, comparison."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kleidia_backup import DirectorySettings, KleidiaError, PostgresSettings, plan_restore, restore
from kleidia_backup.pipeline.engine import in_thread

from ..archive_format import backup
from .case import Case
from .lab import Lab

PASSWORD = "correct horse battery staple"

#: Stands in rows; no message may ever hold it.
CANARY = "canary"


@dataclass(frozen=True)
class Said:
    """How a dry run or a restore ended: ``well``, and its words."""

    well: bool
    words: str
    warnings: str = ""


async def planned(name: str, **options: Any) -> Said:
    """What a dry run says. ``words`` are its blockers, or its error."""
    try:
        plan = await plan_restore(name, password=PASSWORD, **options)
    except KleidiaError as exc:
        return Said(well=False, words=_text(exc) if exc.hint else f"no next step: {exc}")
    return Said(not plan.blockers, "\n".join(plan.blockers), "\n".join(plan.warnings))


async def restored(name: str, **options: Any) -> Said:
    """What a restore says."""
    try:
        report = await restore(name, password=PASSWORD, **options)
    except KleidiaError as exc:
        return Said(well=False, words=_text(exc) if exc.hint else f"no next step: {exc}")
    return Said(well=True, words="", warnings="\n".join(report.warnings))


async def run(case: Case, lab: Lab, directory: Path) -> None:
    """Run a case. All that is not as it must be is one ``AssertionError``, with what was said."""
    ordinary = case.role in ("owner", "tables")
    source = _make(case, lab, case.before, case.source, as_role=ordinary)
    if case.role == "reader":
        lab.grant_reader(source)
    store = DirectorySettings(directory)
    asks = _settings(case, lab, source, as_role=case.role != "superuser")
    problems: list[str] = []
    try:
        made = await backup(database=asks, store=store, password=PASSWORD, include_audit=case.audit)
    except KleidiaError as exc:
        text = _text(exc)
        assert case.outcome == "no backup", f"no backup: {text}"
        _holds(problems, text, lab.named(case.says), "the error of the backup")
        assert not problems, problems
        return
    assert case.outcome != "no backup", f"there is a backup: {made.warnings}"
    _holds(problems, "\n".join(made.warnings), lab.named(case.backed_up), "the backup's warnings")

    kept = (*asks.preserve, *(() if case.audit else asks.audit))
    model = _make(case, lab, case.wanted, case.source, as_role=ordinary) if case.wanted else source
    wanted, answer = lab.dump(model, *kept), lab.answer(source, case.asks)
    lab.load(source, case.then, as_role=ordinary)
    target = source
    if case.target == "empty":
        target = lab.make_database(case.place, owner=lab.role if case.role == "owner" else "")
        lab.load(target, case.there)

    options = {"database": _settings(case, lab, target, as_role=ordinary), "store": store, **case.options}
    rows = lab.rows_of(target, *kept) if case.target == "self" else []
    untouched = await in_thread(lab.dump, target)
    dry = await planned(made.name, **options)
    assert await in_thread(lab.dump, target) == untouched, "the dry run changed something"
    real = await restored(made.name, **options)
    if left := lab.left_behind(target):
        problems.append(f"left behind: {left}")
    _judge(case, lab, dry, real, problems)
    if not real.well:
        if lab.dump(target) != untouched:
            problems.append("a refused restore changed something")
    elif case.outcome != "refused":
        if lab.answer(target, case.asks) != answer:
            problems.append(f"another answer: {lab.answer(target, case.asks)} instead of {answer}")
        if case.target == "self" and lab.rows_of(target, *kept) != rows:
            problems.append("the rows of preserved tables differ")
        lab.load(target, case.left)
        problems += differences(wanted, lab.dump(target, *kept))
    said = f"dry run: {dry}\nrestore: {real}\nbackup: {made.warnings}"
    if CANARY in said.casefold():
        problems.append("a value of a row was shown")
    assert not problems, "\n".join([*problems, said])


def _make(case: Case, lab: Lab, text: str, options: str, *, as_role: bool) -> str:
    """A database of the case's role that some SQL made."""
    if case.role != "superuser":
        lab.make_role()
    name = lab.make_database(options, owner=lab.role if case.role == "owner" else "")
    if case.role == "tables":
        lab.load(name, "GRANT USAGE, CREATE ON SCHEMA public TO @role@")
    lab.load(name, text, as_role=as_role)
    return name


def _settings(case: Case, lab: Lab, database: str, *, as_role: bool) -> PostgresSettings:
    return PostgresSettings(lab.conninfo(database, as_role=as_role), **case.settings)


def _judge(case: Case, lab: Lab, dry: Said, real: Said, problems: list[str]) -> None:
    """Whether a dry run and a restore ended as they must, and said what they must."""
    if (case.foreseen or not dry.well) and dry.well != real.well:
        problems.append("the dry run and the restore differ")
    if case.outcome != "either" and real.well != (case.outcome == "same"):
        problems.append(f"not {case.outcome}")
    says, warns = lab.named(case.says), lab.named(case.warns)
    if dry.well:
        _holds(problems, dry.warnings, warns, "the dry run's warnings")
    if real.well:
        _holds(problems, real.warnings, (*warns, *lab.named(case.restored)), "the restore's warnings")
    else:
        _holds(problems, real.words, says, "the error of the restore")
        if case.foreseen and not dry.well:
            _holds(problems, dry.words, says, "the dry run's blockers")


def differences(wanted: str, found: str) -> list[str]:
    """Some of the lines in which two dumps differ; nothing when they are equal."""
    if wanted == found:
        return []
    lines = difflib.unified_diff(wanted.split("\n"), found.split("\n"), "wanted", "found", lineterm="", n=1)
    return ["it is not the same", *list(lines)[:60]]


def _holds(problems: list[str], text: str, words: tuple[str, ...], where: str) -> None:
    if missing := [word for word in words if word not in text]:
        problems.append(f"{where} do not say {missing}")


def _text(exc: KleidiaError) -> str:
    return f"{exc.message} {exc.hint}"
