"""What stays in the store: what it says of itself, and the time of which an archive is asked for."""

from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field

from ...stages.stores.locks import Allowed as Found
from ...stages.stores.locks import LockMode

AS_OF = "The archive as the store had it then, though it was deleted or replaced since; the store must keep versions."


def _text(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("it must be a time of ISO 8601, with its zone")  # noqa: TRY004  pydantic wants this one
    return value


#: A time in a request's body: a text, of which a strict model would not take a time.
Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_text)]


class Allowed(BaseModel):
    """What the store does with archives that are deleted or replaced; null is unknown: the key may not ask.

    `default_mode` and `default_days` are how the bucket locks each object by itself, `lock_mode` and `lock_days` how
    this service locks archives.
    """

    versions: bool | None = Field(description="Whether the bucket keeps what is deleted or replaced.")
    locks: bool | None = Field(description="Whether it can lock objects.")
    default_mode: LockMode
    default_days: int
    lock_mode: LockMode
    lock_days: int
    deletes_versions: bool | None = Field(description="Whether this key may delete versions.")
    lifts_locks: bool | None = Field(description="Whether this key may delete what is locked in governance mode.")

    @classmethod
    def of(cls, found: Found) -> Self:
        """What the probes found."""
        return cls.model_validate({name: getattr(found, name) for name in cls.model_fields})
