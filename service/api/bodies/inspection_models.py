"""What inspections take and give."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field

from ...control.views.inspections import Inspection, InspectionKind
from .. import models
from ..copying.models import FROM_COPY
from ..immutability import AS_OF, Moment


class Contents(models.Taken):
    """Which archive to list. Without a password the one in the settings is used."""

    key: models.Key = Field(examples=["latest"], description=models.WHICH)
    password: models.Password | None = Field(None, description=models.ITS_PASSWORD, examples=[None])
    as_of: Moment | None = Field(None, description=AS_OF, examples=[None])
    from_copy: models.Line | None = Field(None, min_length=1, description=FROM_COPY, examples=[None])
    secrets: bool = Field(default=False, description="Whether to list the paths of secrets; values are never shown.")


class Comparison(models.Taken):
    """What to compare: an archive with an `other`, or without one with the database and the vault as they are.

    One password, or the one in the settings, opens both.
    """

    key: models.Key = Field(examples=["latest"], description=models.WHICH)
    other: models.Key | None = Field(None, description="The newer archive, or `latest`.", examples=[None])
    password: models.Password | None = Field(None, description=models.ITS_PASSWORD, examples=[None])
    as_of: Moment | None = Field(None, description=AS_OF, examples=[None])
    from_copy: models.Line | None = Field(None, min_length=1, description=FROM_COPY, examples=[None])


class InspectionView(BaseModel):
    """What an inspection has found, or why it found nothing. It is kept for an hour after its end.

    `result` is what the command `contents`, `diff` or `restore --dry-run` gives with `--json`. Of a list with more than
    10,000 lines it has the first, and `left_out` says how many more there are.
    """

    id: int
    kind: InspectionKind
    status: Literal["running", "completed", "failed"]
    archive: str = Field(examples=["backups/backup-full-20260117-020000.enc"])
    other: str | None = Field(examples=[None])
    requested_by_name: str = Field(examples=["Ada"])
    created_at: datetime
    finished_at: datetime | None
    code: str | None = Field(description="The kind of its error, such as `wrong-password`.", examples=[None])
    error: str | None = Field(examples=[None])
    next_step: str | None = Field(examples=[None])
    result: Annotated[dict[str, Any] | None, Field(examples=[None])]

    @classmethod
    def of(cls, found: Inspection) -> Self:
        """What the control tables say."""
        status = "running" if found.ended_at is None else "completed" if found.error is None else "failed"
        code = None if found.code is None else re.sub(r"(?<=[a-z])(?=[A-Z])", "-", found.code).lower()
        same = {name: getattr(found, name) for name in ("id", "kind", "archive", "other", "created_at")}
        own = {"status": status, "finished_at": found.ended_at, "requested_by_name": found.asked_by, "code": code}
        said = {"error": found.error, "next_step": found.hint, "result": found.result}
        return cls.model_validate({**same, **own, **said})
