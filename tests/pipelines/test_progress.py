"""Progress that somebody does not take: it stops a job, and never what was done already."""

from __future__ import annotations

from typing import Any

import pytest

from kleidia_backup import Progress, restore, verify
from kleidia_backup.pipeline.reports.jobs import OnProgress

from ..archive_format import backup, both_formats
from .conftest import PASSWORD, System, wreck

pytestmark = pytest.mark.anyio


class Unwilling(Exception):
    """What a caller's function raises."""


class Log:
    """Keeps warnings."""

    def __init__(self) -> None:
        self.warnings: list[tuple[str, dict[str, Any]]] = []

    def debug(self, event: str, **values: Any) -> None:
        """Nothing."""

    info = debug

    def warning(self, event: str, **values: Any) -> None:
        self.warnings.append((event, values))


def refuses(phase: str, *, complete: bool = False) -> OnProgress:
    """Takes no progress of this phase; or only none of a pipeline that is ``complete``."""

    def on_progress(progress: Progress) -> None:
        ended = bool(progress.stages) and all(stage.state == "finished" for stage in progress.stages)
        if progress.phase == phase and ended >= complete:
            raise Unwilling("a secret")

    return on_progress


TAKEN = [("progress was not taken", {"error": "Unwilling"})]


@both_formats
async def test_nothing_is_undone_by_progress(system: System) -> None:
    """An archive that is there is reported; what is stopped before its COMMIT is put back; what is committed stays."""
    log = Log()
    everything: dict[str, Any] = {
        "database": system.postgres,
        "vault": system.vault,
        "store": system.store,
        "password": PASSWORD,
    }
    made = await backup(**everything, on_progress=refuses("backup", complete=True), log=log)
    assert (made.secrets, log.warnings) == (33, TAKEN)
    assert (await verify(made.name, store=system.store, password=PASSWORD)).secrets == 33
    rows, secrets = system.rows(), system.secrets()
    wreck(system)
    wrecked = system.rows(), system.secrets()
    with pytest.raises(Unwilling):
        await restore(made.name, **everything, on_progress=refuses("commit"))
    assert (system.rows(), {mount: _there(kv) for mount, kv in system.secrets().items()}) == (
        wrecked[0],
        {mount: _there(kv) for mount, kv in wrecked[1].items()},
    )
    report = await restore(made.name, **everything, prune=True, on_progress=refuses("prune"), log=log)
    assert (report.written, log.warnings) == (12, TAKEN * 2)
    assert system.rows() | {"backup_jobs": []} == rows | {"backup_jobs": []}
    assert system.secrets() == secrets


def _there(secrets: dict[str, Any]) -> dict[str, Any]:
    return {path: value for path, value in secrets.items() if value is not None}
