"""Where each command's function is."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: By the commands' names: the module below ``commands``, and the function.
COMMANDS = {
    "backup": ("backup", "backup"),
    "restore": ("restores.restore", "restore"),
    "verify": ("verify", "verify"),
    "drill": ("drill", "drill"),
    "convert": ("convert", "convert"),
    "export": ("export", "export"),
    "recovery-kit": ("kit", "recovery_kit"),
    "keygen": ("keys", "keygen"),
    "rewrap": ("keys", "rewrap"),
    "copies": ("copying.sync", "copies"),
    "list": ("archives", "list_"),
    "inspect": ("archives", "inspect"),
    "contents": ("contents", "contents"),
    "diff": ("contents", "diff"),
    "delete": ("archives", "delete"),
    "pin": ("retention.pins", "pin"),
    "unpin": ("retention.pins", "unpin"),
    "retention": ("retention.retention", "retention"),
    "download": ("archives", "download"),
    "url": ("archives", "url"),
    "test-connection": ("checks", "test_connection"),
    "config": ("checks", "config"),
    "notify": ("notifying.test", "notify"),
    "demo": ("demo", "demo"),
    "audit": ("records.audit", "audit"),
    "completion": ("arguments.completion", "completion"),
    "serve": ("serving.serve", "serve"),
}


def function_of(name: str) -> Callable[[Any], int]:
    """A command's function, which takes the ``Invocation``; with its module comes only what it needs."""
    module, function = COMMANDS[name]
    found: Callable[[Any], int] = getattr(import_module(f"...{module}", __name__), function)
    return found
