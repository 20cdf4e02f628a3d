"""The services' settings of all targets of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...stages.errors import ConfigurationError
from ..service_build import control_of, service_settings
from .settings import ReplicaSettings
from .targets import replica_settings, target_configs

if TYPE_CHECKING:
    from ...stages.pg.server.settings import PostgresSettings
    from ..reader import Config
    from ..service import ServiceSettings


@dataclass(frozen=True, slots=True)
class TargetServices:
    """What a replica serves: the settings of each target by its name, and why others cannot be used."""

    default: str
    settings: Mapping[str, ServiceSettings]
    control: PostgresSettings
    broken: Mapping[str, ConfigurationError] = field(default_factory=dict)
    replica: ReplicaSettings = field(default_factory=ReplicaSettings)
    file: Path | None = None

    @property
    def directory(self) -> Path | None:
        """Where more of the files are that were read."""
        return self.replica.targets_dir


def target_services(config: Config) -> TargetServices:
    """The settings of all targets. One that cannot be used stops no other.

    Raises ``ConfigurationError`` where there is no target, or the control tables' place is not said.
    """
    found = target_configs(config)
    settings: dict[str, ServiceSettings] = {}
    broken = dict(found.broken)
    taken: dict[tuple[str, ...], str] = {}
    control = None
    for name, each in found.configs.items():
        control = control or control_of(each)[0]
        try:
            made = service_settings(each)
            for place in _places(made):
                if (other := taken.setdefault(place, name)) != name:
                    raise ConfigurationError(
                        f"The target keeps its {place[0]} where {other} does.",
                        hint="Give it a prefix, a secrets_path or a server of its own.",
                    )
        except ConfigurationError as exc:
            broken[name] = exc
        else:
            settings[name] = made
    if control is None:
        raise next(iter(broken.values()))
    return TargetServices(found.default, settings, control, broken, replica_settings(config), config.file)


def _places(settings: ServiceSettings) -> tuple[tuple[str, ...], ...]:
    """Where a target keeps what no other one may have there."""
    secrets = ("secrets", settings.vault.address, settings.secrets_mount.strip("/"), settings.secrets_path.strip("/"))
    stores = [each for each in (settings.store, *(copy.store for copy in settings.copies)) if each is not None]
    return secrets, *(("archives", each.place, each.prefix) for each in stores)
