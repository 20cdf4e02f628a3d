"""Bodies of requests: each is taken as what it says, or refused without a word of what was sent."""

from __future__ import annotations

import json
from collections.abc import Mapping

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from kleidia_backup.service.api import models
from kleidia_backup.service.api.bodies import setting_models
from kleidia_backup.service.api.problems import _message, _place
from kleidia_backup.service.control.backup_settings import BackupSettings, changed
from kleidia_backup.stages.errors import ConfigurationError

from ..harness import Finding, Harness, expect_same, words

#: Stands for a password: nothing shows it.
CANARY = "s3cr3t-canary"
_MODELS: tuple[type[models.Taken], ...] = (
    models.Trigger,
    models.Restore,
    models.Candidate,
    setting_models.S3Candidate,
    setting_models.SettingsChange,
    models.Reading,
)


def one(data: bytes) -> None:
    """A digit that says which body, and the body."""
    model, text = _MODELS[(data[0] - ord("0")) % len(_MODELS) if data else 0], data[1:]
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return
    try:
        body = model.model_validate(found)
    except ValidationError as exc:
        _told(exc)
        return
    again = json.loads(body.model_dump_json())
    if CANARY in json.dumps(again) or CANARY in repr(body):
        _secret(body)
    if isinstance(body, setting_models.SettingsChange | setting_models.S3Candidate):
        _change(setting_models.plain(body))


def _told(error: ValidationError) -> None:
    """As the API answers it."""
    for each in RequestValidationError(error.errors()).errors():
        said = f"{_place(each)} {_message(each)}"
        said.encode()
        if CANARY in said:
            raise Finding(f"an answer repeats what was sent: {said}")


def _secret(body: models.Taken) -> None:
    """The canary stands in a field that is no secret, or something shows one."""
    for name in ("password", "secret_access_key", "encryption_password"):
        value = getattr(body, name, None)
        if value is not None and CANARY in repr(value):
            raise Finding(f"{name} is shown")


def _change(values: dict[str, object]) -> None:
    """As the settings take it."""
    try:
        settings = changed(BackupSettings(bucket="b"), values)
    except ConfigurationError as exc:
        secrets = [values.get(name) for name in ("secret_access_key", "encryption_password")]
        if any(isinstance(value, str) and len(value) > 8 and value in str(exc) for value in secrets):
            raise Finding(f"an error shows a secret: {exc}") from exc
        return
    expect_same(BackupSettings.of(settings.document()), settings, "settings that were stored")
    json.dumps(settings.document()).encode()


def seeds() -> Mapping[str, bytes]:
    """A body of each kind, with all of its fields."""
    restore = {
        "key": "latest",
        "password": CANARY,
        "only": "vault",
        "prune": True,
        "into_database": "new",
        "create_database": True,
    }
    restore |= {"into_mount": "kv/x", "backup_first": False, "search_path": ["a", "b"], "from_other_system": True}
    s3 = {
        "endpoint": "https://s3.example.com",
        "bucket": "b",
        "region": "eu-1",
        "access_key_id": "AK",
        "secret_access_key": CANARY,
    }
    change = s3 | {
        "prefix": "a/b",
        "schedule": "*/5 * * * *",
        "timezone": "Europe/Vienna",
        "schedule_enabled": True,
        "version": 3,
    }
    change |= {
        "retention_days": 9,
        "keep_at_least": 2,
        "format": "v2",
        "encryption_password": CANARY,
        "include_audit_logs": False,
    }
    bodies: list[object] = [{"type": "database", "format": "v2"}, restore, {"key": "x", "password": CANARY}, s3, change]
    bodies += [{"key": "latest", "password": CANARY}]
    found = {
        model.__name__: b"%d" % at + json.dumps(body).encode()
        for at, (model, body) in enumerate(zip(_MODELS, bodies, strict=True))
    }
    found["secrets"] = b"1" + json.dumps({"key": "k", "secrets": ["a/*", "b"], "to": None}).encode()
    return found


_WORDS = words(
    rb"""
    null true false -1 1e400 NaN 99999999999999999999 \ud800 \u0000 \n [] {} "v2" "latest" "http://[::1"
    "https://a:99999" "localtime" "x-y.z"
    """,
    *(f'"{name}":'.encode() for model in _MODELS for name in model.model_fields),
    CANARY.encode(),
    b'"' + b"9" * 60 + b'"',
    b'"0 0 31 2 *"',
)
HARNESSES = {
    "api": Harness(
        one,
        seeds,
        _WORDS,
        2048,
    )
}
