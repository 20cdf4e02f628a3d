"""The command ``convert``: an archive, written again in another format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config.reader import read_secret
from ..pipeline.convert import ConvertRequest, run_convert
from ..pipeline.reports import words
from .console import tables

if TYPE_CHECKING:
    from ..pipeline.reports.contents import ConvertReport
    from .invocation import Invocation


def convert(invocation: Invocation) -> int:
    """Write an archive in another format; the old one stays."""
    given, limits, keys = invocation.arguments, invocation.limits, invocation.keys
    old, new = invocation.opening_password(), None
    if given.new_password_file is not None:
        new = read_secret(given.new_password_file, "file of the new password")
    elif old is None and (given.format == "v1" or keys.password_slot):  # the new one needs what the old one did not
        new = invocation.password(twice=True)
    request = ConvertRequest(
        source=given.name,
        store=invocation.store,
        format=given.format,
        old_password=old,
        new_password=new,
        keys=keys,
        name=given.new_name,
        level=limits.level,
        part_size=limits.part_size,
        timeout=limits.job_timeout,
    )
    report: ConvertReport = invocation.job(
        lambda on_progress: run_convert(request, on_progress=on_progress, log=invocation.terminal.log())
    )
    status = invocation.terminal.result(
        words.as_json(report), tables.converted(report, verbose=invocation.terminal.verbose)
    )
    for warning in report.warnings:
        invocation.terminal.warn(warning)
    return status
