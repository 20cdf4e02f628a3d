"""What the API takes and gives of the settings: made of their declarations."""

from typing import Any, Literal, Self

from pydantic import Field, SecretStr, create_model

from ....stages.setting import Declared, declared
from ...control.backup_settings import BUCKET, SECRETS, STORED, BackupSettings
from ..models import Line, NewPassword, Password, Taken


def _fields(*settings: Declared, said: str = "") -> type[Taken]:
    """A body whose fields are these settings as they are declared, each of which may be left out.

    ``said`` is what becomes of the secrets among them.
    """
    kinds: dict[str, Any] = {"text": Line, "integer": int, "boolean": bool, "secret_access_key": Password}
    kinds["encryption_password"] = NewPassword
    made: dict[str, Any] = {}
    for each in settings:
        about, secret = each.setting, each.setting.secret
        shown = [None if secret else each.default if about.example is None else about.example]
        kind: Any = Literal[each.choices] if each.choices else kinds[each.field if secret else each.kind]
        made[each.field] = (
            kind | None,
            Field(
                None,
                description=f"{about.doc} {said}".strip() if secret else about.doc,
                examples=None if each.kind == "boolean" else shown,
                ge=about.least,
                le=about.most,
            ),
        )
    return create_model("Fields", __base__=Taken, **made)


_CANDIDATE = (*(STORED[name] for name in BUCKET), SECRETS["secret_access_key"])


class S3Candidate(_fields(*_CANDIDATE, said="Without it: the stored one.")):  # type: ignore[misc]  # made of settings
    """Settings to try before they are saved; what is left out is as it is configured."""


_CHANGE = (*STORED.values(), *SECRETS.values())


class SettingsChange(_fields(*_CHANGE, said="Stored in the vault.")):  # type: ignore[misc]  # likewise
    """Settings to change; what is left out stays as it is. The two secrets go to the vault and never come back."""

    version: int | None = Field(
        None, ge=0, le=2**31 - 1, description="The version that was read: refused with 409 if it has changed since."
    )


def plain(change: Taken) -> dict[str, object]:
    """What a change says, secrets as themselves: for whoever stores or tries it."""
    given = ((name, getattr(change, name)) for name in sorted(change.model_fields_set - {"version"}))
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in given
        if value is not None
    }


_VIEW: dict[str, Any] = {
    each.field: (Literal[each.choices] if each.choices else type(each.default), Field(description=each.setting.doc))
    for each in declared(BackupSettings)
}


class SettingsView(create_model("View", **_VIEW)):  # type: ignore[misc]  # likewise
    """The settings. Of the secrets only whether they are there."""

    version: int

    @classmethod
    def of(cls, settings: BackupSettings, version: int) -> Self:
        """What is stored."""
        made: Self = cls.model_validate({name: getattr(settings, name) for name in _VIEW} | {"version": version})
        return made
