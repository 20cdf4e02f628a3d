"""Settings: the specification's fields, a test before they are saved, and what another changed meanwhile."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import Request, Response

from ....stages.errors import ConfigurationError
from ....stages.setting import Declared
from ....stages.stores.s3.settings import S3Settings
from ...api.bodies import setting_models
from ...api.copying import routes as copies
from ...api.identity.callers import MayChangeSettings, MayTestConnection, MayTestNotifications
from ...api.problems import ApiError, Told, told
from ...api.routes import backups, notifications, schedules
from ...api.routes import settings as routes
from ...api.routes.shared import TheService, Viewer
from ...control.backup_settings import BUCKET, SECRETS, STORED, BackupSettings
from ...control.jobs import Kind
from ..forms import Form, read
from ..frame import framed
from ..route import router_of
from ..templating import by_htmx, page

router = router_of()

_SCHEDULE = tuple(name for name in STORED if "schedule" in name or name == "timezone")
#: The settings as the form groups them: whatever is new comes under the last heading.
_GROUPS = {
    "Storage": BUCKET,
    "Schedules": _SCHEDULE,
    "Archives and retention": tuple(name for name in STORED if name not in {*BUCKET, *_SCHEDULE}),
}
#: What the specification calls them, where that is not the setting's name in words.
_LABELS = {
    "endpoint": "S3 Endpoint",
    "access_key_id": "Access Key ID",
    "path_style": "Use Path-Style",
    "insecure_tls": "Insecure TLS",
    "schedule": "Backups, by the schedule",
    "schedule_enabled": "Backups are made by the schedule",
    "verify_schedule": "Verifications, by the schedule",
    "verify_schedule_enabled": "Archives are verified by the schedule",
    "drill_schedule": "Drills, by the schedule",
    "drill_schedule_enabled": "Archives are drilled by the schedule",
    "timezone": "Time zone",
}
#: What the schedules make, as a person says it.
_PLANNED: dict[Kind, str] = {"backup": "backup", "verify": "verification", "drill": "drill"}


@dataclass(frozen=True, slots=True)
class _Plan:
    """A schedule: what it makes, when in words, and when next."""

    title: str
    words: str = ""
    runs: tuple[datetime, ...] = ()


@router.get("/settings")
async def settings(request: Request, service: TheService, caller: Viewer) -> Response:
    """The form."""
    return await _form(request, service, caller)


@router.post("/settings")
async def save(request: Request, service: TheService, caller: MayChangeSettings) -> Response:
    """Save what was changed; what another saved meanwhile is shown beside it, field by field."""
    form = await read(request)
    try:
        _check_twice(form)
        change = setting_models.SettingsChange.model_validate(_values(form) | {"version": _version(form)})
        await routes.put_settings(service, caller, change)
    except (ApiError, ConfigurationError, ValueError) as exc:
        return await _form(request, service, caller, given=form, problem=exc)
    return await _form(request, service, caller, saved=True)


@router.post("/settings/test")
async def test(request: Request, service: TheService, caller: MayTestConnection) -> Response:
    """Test S3 Connection, with what the form says, before it is saved."""
    form = await read(request)
    given = _values(form)
    candidate = {name: given[name] for name in (*BUCKET, "secret_access_key") if name in given}
    try:
        found = await backups.test_candidate(service, caller, setting_models.S3Candidate.model_validate(candidate))
    except (ApiError, ConfigurationError, ValueError) as exc:
        if not by_htmx(request):
            return await _form(request, service, caller, given=form, problem=exc)
        return page("_problem.html", request, problem=told(exc))
    if not by_htmx(request):
        return await _form(request, service, caller, given=form, tested=found)
    return page("_tested.html", request, tested=found)


@router.post("/settings/notify")
async def notify(request: Request, service: TheService, caller: MayTestNotifications) -> Response:
    """Send test: a message by every channel that the configuration has."""
    await read(request)
    sent = await notifications.test_notifications(service, caller)
    if by_htmx(request):
        return page("_notified.html", request, notified=sent)
    return await _form(request, service, caller, notified=sent)


async def _form(
    request: Request,
    service: TheService,
    caller: Viewer,
    *,
    given: Form | None = None,
    problem: Exception | None = None,
    tested: Any = None,
    notified: Any = None,
    saved: bool = False,
) -> Response:
    current, version = await service.settings.get()
    said = None if problem is None else told(problem)
    return page(
        "settings.html",
        request,
        200 if said is None else said.status,
        frame=await framed(request, service, caller, "settings"),
        groups={title: [_field(STORED[name], current, given) for name in names] for title, names in _GROUPS.items()},
        has={name: getattr(current, f"has_{name}") for name in SECRETS},
        version=version if given is None or _changed(said) else _version(given) or version,
        plans=[_plan(current, kind, title) for kind, title in _PLANNED.items()],
        problem=said,
        tested=tested,
        channels=[each.name for each in service.outbox.channels],
        lock=_lock(service),
        copies=(await copies.list_copies(service, caller)).copies if service.config.copies else [],
        notified=notified,
        saved=saved,
    )


def _lock(service: TheService) -> tuple[str, int]:
    """How archives are locked in the store, and for how many days."""
    store = service.config.store
    return (store.lock_mode, store.lock_days) if isinstance(store, S3Settings) else ("none", 0)


def _changed(said: Told | None) -> bool:
    """Whether another saved meanwhile: what is stored stands beside what was typed, and counts as read."""
    return said is None or said.kind == "settings-changed"


def _field(declared: Declared, current: BackupSettings, given: Form | None) -> dict[str, Any]:
    """A field as the form shows it: what is stored, what was typed, and both where they differ."""
    stored = getattr(current, declared.field)
    typed = stored if given is None else _typed(declared, given)
    return {
        "name": declared.field,
        "label": _LABELS.get(declared.field) or declared.field.replace("_", " ").title(),
        "doc": declared.setting.doc,
        "kind": declared.kind,
        "choices": declared.choices,
        "value": typed,
        "stored": stored if typed != stored else None,
    }


def _typed(declared: Declared, form: Form) -> Any:
    if declared.kind == "boolean":
        return form.ticked(declared.field)
    text = form.text(declared.field)
    return int(text) if declared.kind == "integer" and _is_number(text) else text


def _values(form: Form) -> dict[str, Any]:
    """What the form says of each setting it shows; secrets only where one was typed."""
    values = {name: _typed(each, form) for name, each in STORED.items()}
    return values | {name: form[name] for name in SECRETS if form.get(name)}


def _check_twice(form: Form) -> None:
    """Nobody sees what is typed: with a slip in it no archive could be opened that is made from then on."""
    if form.get("encryption_password") != form.get("encryption_password_again"):
        raise ApiError(
            422,
            "typed-differently",
            "The encryption password was typed in two ways",
            "Nothing was saved: the encryption password was typed in two ways.",
            "Type the same one in both fields.",
        )


def _version(form: Form) -> int | None:
    text = form.text("version")
    return int(text) if _is_number(text) else None


def _is_number(text: str) -> bool:
    """Whether it is a whole number that the control database can hold."""
    return text.isdecimal() and len(text) <= 18


def _plan(settings: BackupSettings, kind: Kind, title: str) -> _Plan:
    """A schedule in words, and its next runs; nothing of one that is off, or cannot be read."""
    if not settings.scheduled(kind):
        return _Plan(title)
    try:
        cron = settings.cron(kind)
        return _Plan(title, cron.words, tuple(cron.following(datetime.now(UTC), schedules.NEXT)))
    except ConfigurationError:
        return _Plan(title)
