"""What [drill] says, and where reports of drills are kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...stages.vault.undo.journal_files import state_directory
from .settings import DrillSettings

if TYPE_CHECKING:
    from ..reader import Config

#: The folder of reports in the state directory.
FOLDER = "drills"


def drill_settings(config: Config) -> DrillSettings:
    """What [drill] says. Raises ``ConfigurationError``."""
    return DrillSettings(**config.of(DrillSettings))


def reports_directory(settings: DrillSettings, state: Path | None) -> Path:
    """Where reports are kept."""
    return settings.reports or state_directory(state) / FOLDER
