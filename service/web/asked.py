"""What the wizard's form asks for, as the API takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from ..api import models

if TYPE_CHECKING:
    from .forms import Form


#: The fields of the wizard that say what is restored and where to: no secret, no confirmation.
ASKED = frozenset(
    {
        "key",
        "only",
        "prune",
        "backup_first",
        "tables",
        "secrets",
        "as",
        "into_database",
        "create_database",
        "into_mount",
    }
)


def restore_of(form: Form) -> models.Restore:
    """The restore that a form asks for. Raises ``ValidationError``."""
    return models.Restore.model_validate(
        {
            "key": form.text("key"),
            "password": form.get("password") or None,
            "only": form.text("only") or None,
            "prune": form.ticked("prune"),
            "backup_first": form.ticked("backup_first"),
            "tables": form.listed("tables"),
            "secrets": form.listed("secrets"),
            "as": form.text("as") or None,
            "into_database": form.text("into_database") or None,
            "create_database": form.ticked("create_database"),
            "into_mount": form.text("into_mount") or None,
            "reason": form.text("reason") or None,
        }
    )


class _Named(BaseModel):
    key: models.Key


def key_of(form: Form) -> str:
    """The archive that a form names, as the API's paths take it. Raises ``ValidationError``."""
    return _Named(key=form.text("key")).key
