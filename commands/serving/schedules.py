"""What `config` says of schedules: the service's own check, where its extra is installed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ..records.extra import ExtraMissing, service_extra

if TYPE_CHECKING:
    from ...config.service import ServiceSettings


def check_schedules(settings: ServiceSettings) -> None:
    """Raise ``ConfigurationError`` for what `serve` refuses in [schedule]; without the extra nothing can run it."""
    with suppress(ExtraMissing), service_extra("A schedule"):
        from ...service.control.backup_settings import BackupSettings, changed

        changed(BackupSettings(), settings.schedule.fields())
