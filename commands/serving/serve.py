"""The command ``serve``: the service as a process of its own, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from ...config.reader import load
from ...config.risks import service_risks
from ...stages.errors import ConfigurationError
from ..drill import scratch_for
from ..records.extra import service_extra

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ...config.service import ServiceSettings
    from ...config.targets.services import TargetServices
    from ...service.service import Service
    from ..invocation import Invocation


def serve(invocation: Invocation) -> int:
    """Run the service, on what is configured or, with ``--demo``, on servers that are started for it.

    The exit status is 0 when it was stopped.
    """
    with service_extra("The service"):
        from ...service.logs import configure_logs
        from ...service.server import run
    given = invocation.arguments
    if given.format and not given.demo:
        raise ConfigurationError(
            "--format is for --demo alone.", hint="Set format in [backup], or in the service's settings."
        )
    with ExitStack() as stack:
        several = None if given.demo else _several(invocation)
        if several is not None:
            return _serve_several(invocation, *several)
        settings, told = _demo(invocation, stack) if given.demo else (_configured(invocation), {})
        settings = replace(settings, host=given.host or settings.host, port=_or(given.port, settings.port))
        configure_logs(sys.stderr, verbose=given.verbose)
        for risk in () if given.demo else service_risks(invocation.config):
            structlog.get_logger("kleidia_backup.configuration").warning(risk)

        def ready(url: str) -> None:
            facts = {"url": url, "docs": f"{url}/docs", **told}
            invocation.terminal.result(facts, [f"{name}: {text}" for name, text in facts.items()])

        scratch = scratch_for(settings.drill, settings.database, settings.vault)
        run(settings, ready, scratch, _lively() if given.demo else None)
    return 0


def _lively() -> Callable[[Service], Coroutine[object, object, None]]:
    from .lively import live

    return live


def _several(invocation: Invocation) -> tuple[ServiceSettings, Callable[[], TargetServices]] | None:
    """The settings to listen by and what reads the targets, where the configuration has several systems."""
    from ...config.targets.services import target_services
    from ...config.targets.targets import has_targets

    if not has_targets(invocation.whole):
        return None
    first = target_services(invocation.whole)
    if first.default in first.broken:
        raise first.broken[first.default]
    return first.settings[first.default], lambda: target_services(load(invocation.arguments.config))


def _serve_several(invocation: Invocation, settings: ServiceSettings, read: Callable[[], TargetServices]) -> int:
    from ...service.logs import configure_logs
    from ...service.server import serve as serve_targets
    from ...service.targets.several import SeveralTargets

    given = invocation.arguments
    settings = replace(settings, host=given.host or settings.host, port=_or(given.port, settings.port))
    configure_logs(sys.stderr, verbose=given.verbose)

    def ready(url: str) -> None:
        facts = {"url": url, "docs": f"{url}/docs", "targets": f"{url}/api/targets"}
        invocation.terminal.result(facts, [f"{name}: {text}" for name, text in facts.items()])

    serve_targets(
        settings,
        lambda: SeveralTargets(read, scratch=lambda each: scratch_for(each.drill, each.database, each.vault)),
        ready,
    )
    return 0


def _or(number: int | None, other: int) -> int:
    return other if number is None else number


def _configured(invocation: Invocation) -> ServiceSettings:
    from ...config.service_build import service_settings

    return service_settings(invocation.config)


def _demo(invocation: Invocation, stack: ExitStack) -> tuple[ServiceSettings, dict[str, str]]:
    from ...demo.serving import start

    if not invocation.arguments.quiet:
        invocation.terminal.tell("Starting PostgreSQL, OpenBao and an S3 server, and filling them")
    return start(stack, invocation.arguments.format or "v1")
