"""The command ``serve``: the service as a process of its own, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from ..stages.errors import ConfigurationError
from .config import PASSWORD_VARIABLE
from .new_password import check_new_password
from .password import encryption_password

if TYPE_CHECKING:
    from .commands import Invocation
    from .service_settings import ServiceSettings


def serve(invocation: Invocation) -> int:
    """Run the service, on what is configured or, with ``--demo``, on servers that are started for it.

    The exit status is 0 when it was stopped.
    """
    try:
        from .server import run
        from .service_logs import configure_logs
    except ImportError as exc:
        raise ConfigurationError(
            f"The service needs a package that is not installed: {exc.name}.",
            hint="pip install 'kleidia-backup[service]' brings them.",
        ) from exc
    given = invocation.arguments
    with ExitStack() as stack:
        settings, told = _demo(invocation, stack) if given.demo else (_configured(invocation), {})
        settings = replace(settings, host=given.host or settings.host, port=_or(given.port, settings.port))
        configure_logs(sys.stderr, verbose=given.verbose)

        def ready(url: str) -> None:
            facts = {"url": url, "docs": f"{url}/docs", **told}
            invocation.terminal.result(facts, [f"{name}: {text}" for name, text in facts.items()])

        run(settings, ready)
    return 0


def _or(number: int | None, other: int) -> int:
    return other if number is None else number


def _configured(invocation: Invocation) -> ServiceSettings:
    from .service_settings import service_settings

    config = invocation.config
    settings = service_settings(config)
    sources = config.sections & {"password", "password.vault"}
    if sources or os.environ.get(PASSWORD_VARIABLE):  # else it is set through the API; nobody is there to be asked
        password = encryption_password(config, invocation.stopper.run)
        check_new_password(password)
        return replace(settings, password=password)
    return settings


def _demo(invocation: Invocation, stack: ExitStack) -> tuple[ServiceSettings, dict[str, str]]:
    from .demo.serving import start

    if not invocation.arguments.quiet:
        invocation.terminal.tell("Starting PostgreSQL, OpenBao and an S3 server, and filling them")
    return start(stack)
