"""Which password a job has, where keys may be enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...pipeline.parts.keys import Keys
    from ..control.jobs import Kind
    from ..control.settings import SettingsStore


async def stored_password(kind: Kind, settings: SettingsStore, keys: Keys) -> str | None:
    """The stored password for a job; None where it needs none: a backup that has no slot for it, a reading by key.

    Raises ``ConfigurationError`` when it needs one and there is none, or not the one that was set last, and what
    ``SettingsStore`` raises.
    """
    if kind == "backup" and not keys.password_slot:
        return None
    if kind != "backup" and keys.open_something:
        return await settings.password_if_set()
    return await settings.password()
