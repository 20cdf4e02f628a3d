"""The test of all connections, the configuration, the demo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..stages.errors import ConfigurationError
from . import tables
from .config_example import example
from .exit_codes import BY_PART

if TYPE_CHECKING:
    from ..pipeline.archives import Check
    from .commands import Invocation

_NOTHING = "There is nothing to test: neither [store] nor [database] nor [vault] is configured."


def test_connection(invocation: Invocation) -> int:
    """Test whatever is configured; the exit status is that of the first part that is not ok."""
    from ..pipeline.archives import check_connections

    store = invocation.store if "store" in invocation.config.sections else None
    database, vault = invocation.database, invocation.vault
    if store is None and database is None and vault is None:
        raise ConfigurationError(
            _NOTHING, hint="`kleidia-backup config --example` prints a configuration to begin with."
        )
    checks: list[Check] = invocation.job(lambda _: check_connections(store=store, database=database, vault=vault))
    status = next((BY_PART[check.part] for check in checks if not check.ok), 0)
    return invocation.terminal.result({"ok": not status, "checks": checks}, tables.checks(checks), status)


def config(invocation: Invocation) -> int:
    """Print the commented example; or check what is configured, and show it without its secrets."""
    if invocation.arguments.example:
        return invocation.terminal.result({"example": example()}, [example()])
    store = invocation.store if "store" in invocation.config.sections else None
    database, vault = invocation.database, invocation.vault
    pairs = {
        "file": str(invocation.config.file or "none: environment variables only"),
        "store": "" if store is None else getattr(store, "where", "") or str(getattr(store, "path", "")),
        "bucket": getattr(store, "bucket", ""),
        "prefix": "" if store is None else store.prefix,
        "database": "" if database is None else database.where(),
        "vault": "" if vault is None else f"{vault.address}: {', '.join(str(root) for root in vault.roots)}",
    }
    pairs = {name: text for name, text in pairs.items() if text}
    return invocation.terminal.result(pairs, [tables.facts("The configuration can be used", pairs)])
