"""What the API gives of second copies. Sizes are bytes, durations seconds."""

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, Field

from ....pipeline.archives.copied import CopyState
from ...control.copies.runs import CopyRun

#: What of a request reads from a copy.
FROM_COPY = "Read a copy instead of the store: its name in the configuration, or its number from 1."


class Copy(BaseModel):
    """A copy of an archive in another store, as it was seen last."""

    name: str = Field(examples=["offsite"])
    state: Literal["missing", "copying", "ok", "differs", "failed"]
    at: datetime | None = Field(description="When that store took it.")
    size: int | None
    error: str
    next_step: str

    @classmethod
    def of(cls, state: CopyState) -> Self:
        """As it is recorded."""
        return cls(
            name=state.copy, state=state.state, at=state.at, size=state.size, error=state.error, next_step=state.hint
        )


class CopyStore(BaseModel):
    """One of the stores that get copies. ``states`` counts archives by the state of their copy there."""

    name: str = Field(examples=["offsite"])
    number: int
    where: str = Field(examples=["https://s3.elsewhere.example.org"])
    lag: float = Field(description="For how long the oldest archive that has no good copy there has been in the store.")
    longest_lag: float = Field(description="After so long it is told that the copy is behind.")
    states: dict[str, int]
    running: bool
    checked: datetime | None = Field(description="When it was looked at last.")
    error: str = Field(description="Why it could not be filled then.")
    next_step: str


class CopyStores(BaseModel):
    """All of them, in the order of the configuration."""

    copies: list[CopyStore]


def nothing_yet(name: str) -> CopyRun:
    """What is said of a copy that was never looked at."""
    return CopyRun(name, 0.0, {}, False, None, "", "")
