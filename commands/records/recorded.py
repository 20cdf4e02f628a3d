"""What is recorded of archives, for ``list``: by the service in its tables, and by reports of drills."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ...config.drills.reports import drill_settings, reports_directory
from ...pipeline.archives.listing import Known
from ...pipeline.drills.proven import proven
from ...stages.errors import DatabaseError
from .extra import ExtraMissing, service_extra
from .history import configured

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ...config.reader import Config
    from ...pipeline.archives.listing import ArchiveInfo
    from ...pipeline.drills.proven import Proof
    from ...service.control.proofs.records import Recorded
    from ..invocation import Invocation


async def with_records(invocation: Invocation, archives: Sequence[ArchiveInfo]) -> list[ArchiveInfo]:
    """The lines of a listing with what is known. A service that cannot be asked is a warning: a listing needs none.

    Raises ``ConfigurationError``.
    """
    config = invocation.config
    proofs = proven(reports_directory(drill_settings(config), invocation.limits.state))
    rows: dict[str, Recorded] = {}
    if configured(config):
        try:
            rows = await _looked_up(config, archives)
        except (ExtraMissing, DatabaseError) as exc:
            invocation.terminal.warn(f"{exc.message} {exc.hint}")
    return [replace(info, known=_known(info, rows.get(info.name), proofs.get(info.name))) for info in archives]


async def proven_of(invocation: Invocation, names: Collection[str]) -> frozenset[str]:
    """Which of these archives, by their full names, a drill brought back: by reports on this machine, and the tables.

    Raises ``ConfigurationError`` and ``DatabaseError``.
    """
    config = invocation.config
    proofs = proven(reports_directory(drill_settings(config), invocation.limits.state))
    reported = frozenset(names) & proofs.keys()
    if not configured(config):
        return reported
    from ...config.service_build import control_of

    with service_extra("What the service recorded of archives"):
        from ...service.control.proofs.records import look_up_proven

    return reported | await look_up_proven(*control_of(config), names)


async def _looked_up(config: Config, archives: Sequence[ArchiveInfo]) -> dict[str, Recorded]:
    from ...config.service_build import control_of

    with service_extra("What the service recorded of archives"):
        from ...service.control.proofs.records import look_up

    return await look_up(*control_of(config), archives)


def _known(info: ArchiveInfo, row: Recorded | None, proof: Proof | None) -> Known:
    """Both together: the newer one counts."""
    known = replace(Known() if row is None else row.known, pinned=info.known.pinned)
    if proof is None or not proof.holds(info.size, info.modified):
        return known
    if row is not None and row.verdict == "failed" and row.said is not None and row.said > proof.at:
        return known
    newest = {name: max(filter(None, (getattr(known, name), proof.at))) for name in ("verified", "proven")}
    return replace(known, **newest)
