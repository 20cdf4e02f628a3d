"""The test of all connections: what a backup and what a restore may do, and what each lacks, without doing either."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from ...stages.errors import KleidiaError
from ...stages.stores.base import Odd
from ...stages.stores.locks import Locking
from ..parts.choice import connections
from ..parts.part import Rights
from ..reports.immutability import immutability, risks

if TYPE_CHECKING:
    from ...stages.pg.server.settings import PostgresSettings
    from ...stages.stores.base import StoreSettings
    from ...stages.stores.locks import Allowed
    from ...stages.vault.kv.settings import VaultSettings
    from ...stages.vault.transit import TransitKey
    from ..copies.settings import Copy
    from ..parts.names import PartName

Purpose: TypeAlias = Literal["backup", "restore"]

#: What is tested: the store, a part of archives, a vault's Transit key that opens them.
Place: TypeAlias = "Literal['store', 'transit'] | PartName"

#: The rights on a store, by their names there, that a restore needs as well.
_READING = frozenset({"list", "read", "s3:ListBucket", "s3:GetObject"})


#: What a bucket lacks that cannot lock what is to be locked.
_LOCKS = "Object Lock of the bucket"


@dataclass(frozen=True, slots=True)
class Check:
    """What a test of one connection found.

    ``missing`` names each right that is not there for what was asked; ``ok`` is that there is none. ``backup_lacks``
    and ``restore_lacks`` are the same for each; None when the part could not be asked, and ``detail`` says why.
    ``warnings`` are about what a backup would leave out. ``code`` is the name of the error that kept it from
    being asked, ``said`` that server's own text, for operators alone. ``allowed`` is what the store does with archives
    that are deleted or replaced, where it tells.
    """

    part: Place
    ok: bool
    missing: tuple[str, ...] = ()
    detail: str = ""
    hint: str = ""
    backup_lacks: tuple[str, ...] | None = None
    restore_lacks: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()
    code: str = ""
    said: str = ""
    copy: str = ""
    allowed: Allowed | None = None


async def check_connections(
    *,
    store: StoreSettings | None = None,
    database: PostgresSettings | None = None,
    vault: VaultSettings | None = None,
    transit: TransitKey | None = None,
    copies: Sequence[Copy] = (),
    purpose: Purpose = "backup",
) -> list[Check]:
    """Try what a backup and a restore need of each given part, one after the other; never raises for what it finds.

    ``purpose`` says for which of them a part has to be ok. What the other one lacks is told all the same, for a role
    or a policy that may only back up is as it should be.
    """
    checks: list[Check] = []
    if store is not None:
        tried = await _check("store", purpose, lambda: _check_store(store))
        checks.append(await _check_immutable(tried, store, purpose))
    for copy in copies:
        found = await _check("store", purpose, partial(_check_store, copy.store))
        checks.append(replace(await _check_immutable(found, copy.store, purpose), copy=copy.name))
    checks += [await _check(part, purpose, ask) for part, ask in connections(database, vault)]
    if transit is not None:
        checks.append(await _check("transit", purpose, lambda: _check_transit(transit)))
    return checks


async def _check(part: Place, purpose: Purpose, ask: Callable[[], Awaitable[Rights]]) -> Check:
    try:
        found = await ask()
    except KleidiaError as exc:
        return Check(part, ok=False, detail=exc.message, hint=exc.hint, code=exc.documented(), said=exc.said)
    missing = found.backup if purpose == "backup" else found.restore
    return Check(
        part,
        ok=not missing,
        missing=missing,
        detail=found.detail,
        hint=found.hint if missing else "",
        backup_lacks=found.backup,
        restore_lacks=found.restore,
        warnings=found.warnings,
    )


async def _check_store(store: StoreSettings) -> Rights:
    async with store.open() as target:
        missing = tuple(await target.check())
        where = f"archives go under {target.prefix or '(no prefix)'}"
        odd = target.odd if isinstance(target, Odd) else ()
    reading = tuple(right for right in missing if right in _READING)
    return Rights(backup=missing, restore=reading, detail=where, warnings=odd)


async def _check_immutable(check: Check, store: StoreSettings, purpose: Purpose) -> Check:
    """The same with what the store does with archives that are deleted or replaced."""
    if not check.ok:
        return check
    try:
        async with store.open() as target:
            found = await target.allowed() if isinstance(target, Locking) else None
    except KleidiaError as exc:
        return replace(check, warnings=(*check.warnings, f"What the store does with deleted archives: {exc.message}"))
    if found is None:
        return check
    if found.lock_mode != "none" and (found.locks is False or found.versions is False):
        check = replace(check, backup_lacks=(*(check.backup_lacks or ()), _LOCKS))
        if purpose == "backup":
            hint = "Make a new bucket with Object Lock, which few stores switch on later, or set lock_mode to none."
            return replace(check, ok=False, missing=(*check.missing, _LOCKS), hint=hint, allowed=found)
    told = f"{check.detail}; {'; '.join(immutability(found))}"
    return replace(check, detail=told, warnings=(*check.warnings, *risks(found)), allowed=found)


async def _check_transit(key: TransitKey) -> Rights:
    """A backup encrypts with it; what opens an archive, by it alone, decrypts."""
    wrap, unwrap = await key.lacking()
    return Rights(
        backup=tuple(map(str, wrap)),
        restore=tuple(map(str, unwrap)),
        detail=f"the Transit key {key} of {key.vault.address}",
    )
