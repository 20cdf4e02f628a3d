"""What is known of a drill while it runs, and the report that is made of it however it ends."""

from __future__ import annotations

import platform
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter
from typing import TYPE_CHECKING

from ...formats.v1.header import Header
from ...formats.v2.facts import ArchiveFacts
from ...stages.load.meter import Meter
from .judging import NEXT_STEP
from .report import DrilledArchive, DrillReport, Environment, Step, Target

if TYPE_CHECKING:
    from ..archives.reading import OpenArchive
    from .asked import DrillRequest, Scratch
    from .report import Cause, CheckResult, DatabaseProof, Failure, VaultProof, Verdict


@dataclass
class DrillState:
    """A running drill."""

    request: DrillRequest
    archive: DrilledArchive
    meter: Meter = field(default_factory=Meter)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    steps: list[Step] = field(default_factory=list)
    environment: Environment | None = None
    database: DatabaseProof | None = None
    vault: VaultProof | None = None
    checks: tuple[CheckResult, ...] = ()
    failures: tuple[Failure, ...] = ()
    warnings: list[str] = field(default_factory=list)
    left_behind: str = ""
    vault_version: str = ""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step."""
        begun, clock = datetime.now(UTC), perf_counter()
        result: bool = False
        try:
            yield
            result = True
        finally:
            seconds = round(perf_counter() - clock, 3)
            self.steps.append(Step(name=name, started=begun, seconds=seconds, result="ok" if result else "failed"))

    def opened(self, archive: OpenArchive) -> None:
        """Note what the archive says of itself."""
        header, signer = archive.header, archive.signer
        age = (self.started - header.created_at).total_seconds()
        limit = self.request.not_older_than
        self.archive = replace(
            self.archive,
            size=archive.info.size,
            created_at=header.created_at,
            age_at_drill=age,
            overdue=None if limit is None else age > limit,
            format_version=header.version,
            backup_type=header.backup_type,
            id=header.id if isinstance(header, ArchiveFacts) else "",
            checksum=header.checksum if isinstance(header, Header) else "",
            signer="" if signer is None else signer.text,
        )
        if self.archive.overdue:
            self.warnings.append("The archive is older than drills may find it: look whether backups still run.")

    def on(self, scratch: Scratch) -> None:
        """Note where it is restored to."""
        self.environment = Environment(
            where=scratch.where,
            isolated=scratch.own,
            host=platform.node(),
            vault=scratch.vault.address if scratch.vault is not None else "",
        )

    def report(self, verdict: Verdict, cause: Cause, reason: str = "", hint: str = "") -> DrillReport:
        """The report, when everything is cleaned up."""
        seconds = {step.name: step.seconds for step in self.steps if step.result == "ok"}
        environment = self.environment
        if environment is not None and self.database is not None:
            environment = replace(environment, postgresql=self.database.objects.server)
        if environment is not None:
            environment = replace(environment, vault_version=self.vault_version)
        return DrillReport(
            id=str(uuid.uuid4()),
            trigger=self.request.trigger,
            requested_by=self.request.requested_by,
            tool=_tool(),
            started=self.started,
            ended=datetime.now(UTC),
            archive=self.archive,
            environment=environment,
            steps=tuple(self.steps),
            database=self.database,
            vault=self.vault,
            checks=self.checks,
            rto=Target.of(seconds.get("restore"), self.request.restore_within),
            rpo=Target.of(self.archive.age_at_drill, self.request.not_older_than),
            verdict=verdict,
            cause=cause,
            failures=self.failures,
            reason=reason,
            next_step=" ".join(filter(None, (hint, NEXT_STEP[cause]))),
            warnings=tuple(self.warnings),
            load=self.meter.load(),
            cleaned_up=not self.left_behind,
            left_behind=self.left_behind,
        )


def _tool() -> str:
    try:
        return f"kleidia-backup {version('kleidia-backup')}"
    except PackageNotFoundError:
        return "kleidia-backup"
