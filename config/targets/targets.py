"""The targets of a configuration: ``[targets.NAME]`` in its file, and the files in ``targets_dir``.

One that cannot be used does not stop the others: its error stands in its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...stages.errors import ConfigurationError
from ..reader import Config, exposed, parse, read_sections
from .inherit import inherited, without_credentials
from .settings import MOST_LABELS, ReplicaSettings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
#: Of [service] a target may say these.
_OWN = frozenset({"secrets_mount", "secrets_path", "allowed_endpoints", "passwords_in_requests"})


@dataclass(frozen=True, slots=True)
class TargetConfigs:
    """The configurations of the targets in their order, and the errors of those that cannot be used."""

    default: str
    configs: Mapping[str, Config]
    broken: Mapping[str, ConfigurationError] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Every target, usable or not."""
        return (*self.configs, *self.broken)


def replica_settings(config: Config) -> ReplicaSettings:
    """What is said of the replica. Raises ``ConfigurationError``."""
    settings = ReplicaSettings(**config.of(ReplicaSettings))
    if len(settings.labels) > MOST_LABELS:
        raise ConfigurationError("labels in [service] are too many.", hint=f"There may be {MOST_LABELS}.")
    _check_labels(list(settings.labels))
    return settings


def has_targets(config: Config) -> bool:
    """Whether the configuration is of several systems."""
    return bool(config.targets) or config.has("service", "targets_dir")


def target_configs(config: Config) -> TargetConfigs:
    """All targets. Raises ``ConfigurationError`` where there is none, or the default one does not exist."""
    settings = replica_settings(config)
    configs: dict[str, Config] = {}
    broken: dict[str, ConfigurationError] = {}
    for name, file, said in _found(config, settings.targets_dir):
        try:
            if isinstance(said, ConfigurationError):
                raise said
            if name in configs or name in broken:
                configs.pop(name, None)
                raise ConfigurationError(
                    f"There are two targets {_shown(name)}.", hint="Each has [targets.NAME] or a file in targets_dir."
                )
            configs[name] = _target(config, name, file, said)
        except ConfigurationError as exc:
            broken[_shown(name)] = exc
    names = (*configs, *broken)
    default = settings.default_target or next(iter(names), "")
    if default not in names:
        raise ConfigurationError(
            "There are no targets." if not names else "default_target in [service] names no target.",
            hint=f"There are {', '.join(names)}." if names else "Write [targets.NAME], or NAME.toml in targets_dir.",
        )
    return TargetConfigs(default, configs, broken)


def one_target(config: Config, name: str | None) -> Config:
    """The configuration of the one system that a command is for: the named one, the default, or the only one.

    Raises ``ConfigurationError`` for a name that there is not, and where it would have to be guessed.
    """
    if not has_targets(config):
        if name is not None:
            raise ConfigurationError(
                "The configuration has no targets, but --target names one.", hint="Leave it out, or correct --config."
            )
        return config
    found = target_configs(config)
    if name is None:
        if len(found.names) > 1 and not replica_settings(config).default_target:
            raise ConfigurationError(
                "The configuration has several targets.",
                hint=f"Say which by --target, or set default_target in [service]: {', '.join(found.names)}.",
            )
        name = found.default
    if name in found.broken:
        raise found.broken[name]
    if name not in found.configs:
        raise ConfigurationError("There is no such target.", hint=f"There are {', '.join(found.names)}.")
    return found.configs[name]


def _found(config: Config, directory: Path | None) -> Iterator[tuple[str, Path, Any]]:
    """Each target: its name, the file it is in, and what stands there or why that cannot be read."""
    for name, table in config.targets.items():
        assert config.file is not None
        yield name, config.file, table
    if directory is None:
        return
    try:
        files = sorted(each for each in directory.iterdir() if each.suffix == ".toml" and not each.name.startswith("."))
    except OSError as exc:
        raise ConfigurationError(
            f"targets_dir in [service] cannot be read: {exc.strerror}.", hint="Correct the path, or its mode and owner."
        ) from None
    for file in files:
        try:
            yield file.stem, file, parse(file)
        except ConfigurationError as exc:
            yield file.stem, file, exc


def _target(config: Config, name: str, file: Path, said: object) -> Config:
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            "A target's name cannot be used.", hint="It has at most 63 letters, digits, dots, dashes and underscores."
        )
    if not isinstance(said, dict):
        raise ConfigurationError(f"targets.{name} must be a section.", hint=f"Write [targets.{name}].")
    tables = dict(said)
    labels = _check_labels(tables.pop("labels", []))
    copies = (file, tables.pop("copies")) if "copies" in tables else None
    own, sections = read_sections(file, tables)
    for section, key in own:
        if section == "login" or (section == "service" and key not in _OWN):
            raise ConfigurationError(
                f"{key} in [{section}] is not one target's to say.",
                hint="Set it at the top level of the configuration.",
            )
    values, environment = inherited(name, config.values, own), without_credentials(own, config.environment)
    return replace(
        config,
        file=file,
        sections=config.sections | {part.partition(".")[0] for part in sections} | sections,
        warnings=(*config.warnings, *exposed(file, own)),
        values=values,
        environment=environment,
        targets={},
        target=name,
        own=frozenset(sections | ({"copies"} if copies else set())),
        copies=copies or config.copies,
        labels=labels,
    )


def _check_labels(labels: object) -> tuple[str, ...]:
    if not isinstance(labels, list) or not all(isinstance(each, str) and _NAME.fullmatch(each) for each in labels):
        raise ConfigurationError(
            "labels must be a list of names.", hint='Write labels = ["vienna"]: letters, digits, dots and dashes.'
        )
    return tuple(sorted(set(labels)))


def _shown(name: str) -> str:
    return name if _NAME.fullmatch(name) else "(not shown)"
