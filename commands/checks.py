"""The test of all connections, the configuration, the demo."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..config.build import configured_password, notify_settings, retention_settings
from ..config.drills.reports import drill_settings
from ..config.example import example
from ..config.key_files import configured_transit
from ..config.service_build import service_settings
from ..config.targets.targets import has_targets
from ..notify.channels import channels
from ..stages.errors import ConfigurationError
from .console import tables
from .console.exit_codes import BY_PART
from .serving.schedules import check_schedules
from .targets import check_targets

if TYPE_CHECKING:
    from ..pipeline.archives.checks import Check
    from .invocation import Invocation

_NOTHING = "There is nothing to test: neither [store] nor [database] nor [vault] is configured."


def test_connection(invocation: Invocation) -> int:
    """Test whatever is configured, the Transit key of [keys] too.

    The exit status is that of the first part that is not ok for what was asked.
    """
    from ..pipeline.archives.checks import check_connections

    store = invocation.store if "store" in invocation.config.sections else None
    database, vault = invocation.database, invocation.vault
    if store is None and database is None and vault is None:
        raise ConfigurationError(
            _NOTHING, hint="`kleidia-backup config --example` prints a configuration to begin with."
        )
    purpose, transit = invocation.arguments.purpose, configured_transit(invocation.config)
    asked = partial(check_connections, store=store, copies=invocation.copies, database=database, vault=vault)
    checks: list[Check] = invocation.job(lambda _: asked(transit=transit, purpose=purpose))
    status = next((BY_PART[check.part] for check in checks if not check.ok), 0)
    values = {"for": purpose, "ok": not status, "checks": checks}
    status = invocation.terminal.result(values, tables.checks(checks), status)
    for check in checks:
        for warning in check.warnings:
            invocation.terminal.warn(warning)
    return status


def config(invocation: Invocation) -> int:
    """Print the commented example; or check what is configured, and show it without its secrets.

    Of several systems each is checked, or the one that is named.
    """
    if invocation.arguments.example:
        return invocation.terminal.result({"example": example()}, [example()])
    if has_targets(invocation.whole) and invocation.arguments.of_target is None:
        return check_targets(invocation)
    store = invocation.store if "store" in invocation.config.sections else None
    database, vault = invocation.database, invocation.vault
    _ = invocation.keys, invocation.limits, retention_settings(invocation.config), drill_settings(invocation.config)
    if (told := notify_settings(invocation.config)) is not None:
        channels(told)
    if "service" in invocation.config.sections:
        check_schedules(service_settings(invocation.config))  # raises what `serve` would
    else:
        configured_password(invocation.config)
    pairs = {
        "file": str(invocation.config.file or "none: environment variables only"),
        "store": "" if store is None else store.where,
        "bucket": getattr(store, "bucket", ""),
        "prefix": "" if store is None else store.prefix,
        "copies": ", ".join(f"{each.name}: {each.store.where}" for each in invocation.copies),
        "database": "" if database is None else database.where(),
        "vault": "" if vault is None else f"{vault.address}: {', '.join(str(root) for root in vault.roots)}",
    }
    pairs = {name: text for name, text in pairs.items() if text}
    return invocation.terminal.result(pairs, [tables.facts("The configuration can be used", pairs)])
