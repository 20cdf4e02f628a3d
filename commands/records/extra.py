"""The extra ``service``, whose packages the control tables need: who installed the command alone has none of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...stages.errors import ConfigurationError


class ExtraMissing(ConfigurationError):
    """A package of the extra ``service`` is not installed."""

    public = False


@contextmanager
def service_extra(what: str) -> Iterator[None]:
    """For imports alone: ``what`` needs them. Raises ``ExtraMissing`` where a package of others is missing."""
    try:
        yield
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] == "kleidia_backup":
            raise  # a bug of ours
        raise ExtraMissing(
            f"{what} needs a package that is not installed: {exc.name}.",
            hint="pip install 'kleidia-backup[service]' brings it.",
        ) from exc
