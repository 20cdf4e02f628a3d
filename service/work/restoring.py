"""What a job's row says of a restore, as the request that the engine takes, and as words of the audit log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from ...pipeline.copies.settings import find_copy
from ...pipeline.fresh import find_missing, make_missing
from ...pipeline.parts.elsewhere import database_named
from ...pipeline.parts.request import RestoreRequest
from ...pipeline.tables.request import TablesRequest
from ...stages.stores.past import store_at

if TYPE_CHECKING:
    from ...config.service import ServiceSettings
    from ...pipeline.parts.names import PartName
    from ...pipeline.parts.request import BackupRequest
    from ...stages.stores.base import StoreSettings
    from ..control.jobs import Job


#: Names of each kind that an entry of the audit log has at most.
_MOST = 20


class Asked(Protocol):
    """A job, or a dry run: the archive and what was asked of it."""

    @property
    def archive(self) -> str | None:
        """Its full name."""

    @property
    def options(self) -> Mapping[str, Any]:
        """As a job's row has them."""


class Places(TypedDict):
    """Where a restore goes to."""

    only: PartName | None
    into_database: str
    create: bool
    into_mount: str


def places_of(options: Mapping[str, Any]) -> Places:
    """Those of a job; one that an older version wrote goes where it is configured."""
    return Places(
        only=options.get("only"),
        into_database=options.get("into_database") or "",
        create=bool(options.get("create")),
        into_mount=options.get("into_mount") or "",
    )


def store_of(job: Asked, store: StoreSettings, config: ServiceSettings) -> StoreSettings:
    """The store of a job's archive, or the copy that was asked for, as it was at the time of which the archive is.

    Raises ``ConfigurationError``.
    """
    if asked := job.options.get("from_copy"):
        store = find_copy(config.copies, asked).store
    as_of = job.options.get("as_of")
    return store_at(store, datetime.fromisoformat(as_of) if as_of else None)


def restore_request(
    job: Asked, config: ServiceSettings, store: StoreSettings, password: str | None, first: BackupRequest | None
) -> RestoreRequest:
    """Raises ``ConfigurationError``."""
    assert job.archive is not None
    return RestoreRequest(
        name=job.archive,
        store=store_of(job, store, config),
        password=password,
        keys=config.keys,
        database=config.database,
        vault=config.vault,
        prune=bool(job.options.get("prune")),
        search_path=tuple(job.options.get("search_path") or ()),
        secrets=tuple(job.options.get("secrets") or ()),
        to=job.options.get("to") or "",
        system=config.system,
        from_other_system=bool(job.options.get("from_other_system")),
        state=config.state,
        timeout=config.job_timeout,
        backup_first=first,
        **places_of(job.options),
    )


async def make_fresh(request: RestoreRequest, options: Mapping[str, Any]) -> tuple[str, ...]:
    """What the servers lack is made first, if that was asked for; one sentence for each thing.

    Raises as ``find_missing`` and ``make_missing``.
    """
    if not options.get("fresh"):
        return ()
    missing = await find_missing(request, policies=bool(options.get("policies")))
    await make_missing(request, missing)
    return (
        *(f"The KV mount {each.path} was missing, and was made." for each in missing.mounts),
        *(f"The role {each.name} was missing, and was made." for each in missing.roles),
        *(f"The policy {each.name} was missing, and was written." for each in missing.policies),
        *(f"The policy {each} is there with another text, and stays." for each in missing.other_policies),
    )


def tables_request(
    job: Asked, config: ServiceSettings, store: StoreSettings, password: str | None, first: BackupRequest | None
) -> TablesRequest:
    """The same of a job that restores some tables alone. Raises ``ConfigurationError``."""
    assert job.archive is not None
    into = job.options.get("into_database")
    return TablesRequest(
        name=job.archive,
        store=store_of(job, store, config),
        password=password,
        keys=config.keys,
        database=database_named(config.database, into) if into else config.database,
        tables=tuple(job.options["tables"]),
        copy=job.options.get("as") or "",
        search_path=tuple(job.options.get("search_path") or ()),
        system=config.system,
        from_other_system=bool(job.options.get("from_other_system")),
        backup_first=first,
        timeout=config.job_timeout,
    )


def said(job: Job) -> str:
    """What the audit log says of a restore: what was asked for, where it went, and the backup before it."""
    if job.kind != "restore":
        return ""
    if job.options.get("undo"):
        return "An unfinished restore was to be undone."
    if job.options.get("dismiss"):
        return "An unfinished restore was to be dismissed."
    places, report = places_of(job.options), job.report or {}
    into = [f"database {places['into_database']}"] if places["into_database"] else []
    into += [f"vault mount {places['into_mount']}"] if places["into_mount"] else []
    parts = [*_chosen(job.options), *([f"Into {', '.join(into)}."] if into else [])]
    if report.get("backup"):
        parts.append(f"Backed up before it: {report['backup']}.")
    elif "backup_first" in job.options and not job.options["backup_first"]:
        parts.append("Nothing was backed up before it, as asked for.")
    if job.options.get("reason"):
        parts.append(f"Reason: {job.options['reason']}")
    return " ".join(parts)


def _chosen(options: Mapping[str, Any]) -> Iterator[str]:
    """What of the archive was asked for, where that is not all of it."""
    for what, new in (("tables", "as"), ("secrets", "to")):
        if names := options.get(what):
            more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
            other = f" {new} {options[new]}" if options.get(new) else ""
            yield f"Only the {what} {', '.join(names[:_MOST])}{more}{other}."
    if options.get("from_copy"):
        yield f"From the copy {options['from_copy']}."
    if options.get("as_of"):
        yield f"The archive as the store had it at {options['as_of']}."
    if options.get("only"):
        yield f"Only the {options['only']}."
    if options.get("fresh"):
        policies = ", and policies" if options.get("policies") else ""
        yield f"KV mounts and roles{policies} that were missing were to be made."
    if options.get("prune"):
        yield "Secrets that the archive does not have were to be removed."
