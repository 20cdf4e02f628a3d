"""The command ``export``: some or all of an archive in clear text, into a file, or secrets to the terminal."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..pipeline import export as exports
from ..pipeline.reports import words
from ..stages.extract.file import refuse_existing
from ..stages.extract.texts import line_of
from .console import tables

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ..formats.secret import Secret
    from ..pipeline.reports.contents import ExportReport
    from ..pipeline.reports.jobs import OnProgress
    from .invocation import Invocation


def export(invocation: Invocation) -> int:
    """Write what was asked for; secrets are shown only with ``--show``."""
    given = invocation.arguments
    file = given.secrets or given.sql or given.csv
    if file is not None:  # before anybody is asked for a password
        refuse_existing(file, "Name another file, or give --overwrite.", overwrite=given.overwrite)
    store, keys, password = invocation.store, invocation.keys, invocation.opening_password()

    def request(on_progress: OnProgress) -> exports.ExportRequest:
        return exports.ExportRequest(
            name=given.name,
            store=store,
            password=password,
            keys=keys,
            file=file,
            overwrite=given.overwrite,
            on_progress=on_progress,
            log=invocation.terminal.log(),
            timeout=invocation.limits.job_timeout,
        )

    if given.show:
        return _show(invocation, request, given.secret)
    write: Callable[[exports.ExportRequest], Awaitable[ExportReport]] = exports.export_sql
    if given.secrets:
        write = partial(exports.export_secrets, patterns=given.secret)
    elif given.csv:
        write = partial(exports.export_table, table=given.table)
    report: ExportReport = invocation.job(lambda on_progress: write(request(on_progress)))
    shown = {"file": f"{words.printable(report.file)}, {words.size(report.size)}", "archive": report.name}
    if given.secrets:
        shown["secrets"] = f"{report.secrets:,}"
    if given.csv:
        shown["rows"] = f"{report.rows:,} of {report.table}"
    status = invocation.terminal.result(words.as_json(report), [tables.facts("Exported", shown)])
    invocation.terminal.warn(f"{words.printable(report.file)} is clear text: whoever reads it has what it holds.")
    return status


def _show(
    invocation: Invocation, request: Callable[[OnProgress], exports.ExportRequest], patterns: Sequence[str]
) -> int:
    found: list[Secret] = invocation.job(
        lambda on_progress: exports.read_secrets(request(on_progress), patterns), "reading"
    )
    lines = [_visible(line_of(secret).decode()) for secret in found]
    values = {"secrets": [{"path": secret.path, "value": secret.value.decode()} for secret in found]}
    return invocation.terminal.result(values, lines)


def _visible(line: str) -> str:
    r"""JSON text that a terminal does not obey: what it does not show is in a string, and becomes ``\u…`` there."""
    return "".join(char if char.isprintable() else _escaped(char) for char in line.rstrip("\n"))


def _escaped(char: str) -> str:
    if char == "\t":  # between tokens; it cannot stand in a string
        return " "
    data = char.encode("utf-16-be")
    return "".join(f"\\u{data[at : at + 2].hex()}" for at in range(0, len(data), 2))
