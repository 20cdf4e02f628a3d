"""The targets that a replica holds, as the API sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from ...stages.errors import KleidiaError
    from ..control.database import Control
    from ..service import Service


@dataclass(frozen=True, slots=True)
class Held:
    """One target: its service, or the error that keeps it from having one; or both.

    Then the service is that of the configuration before, or the target's vault could not be reached yet.
    """

    service: Service | None
    error: KleidiaError | None = None
    labels: tuple[str, ...] = ()


class Targets(Protocol):
    """What the API needs. Entering it starts what runs by itself."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def default(self) -> str:
        """The name of the target that the specification's paths mean."""

    def find(self, name: str | None) -> Service:
        """The service of a target; None: of the default one.

        Raises ``KeyError`` for a name that there is not, and the error of a target that cannot be used.
        """

    def held(self) -> Mapping[str, Held]:
        """All of them, by their names."""

    @property
    def control(self) -> Control:
        """The control database of all."""

    @property
    def problem(self) -> KleidiaError | None:
        """Why the configuration could not be read again; what was read before goes on."""

    def stop(self, reason: str) -> None:
        """End what runs, and every later job, for this reason."""

    @property
    def reloads(self) -> bool:
        """Whether the configuration can be read again."""

    async def reload(self) -> None:
        """Read it again. What cannot be read leaves everything as it was, and ``problem`` says why."""


class OneTarget:
    """A service on its own."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __aenter__(self) -> Self:
        await self._service.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._service.__aexit__(kind, error, trace)

    @property
    def default(self) -> str:
        """Its name."""
        return self._service.target

    def find(self, name: str | None) -> Service:
        """It, under its own name and none."""
        if name not in {None, self._service.target}:
            raise KeyError(name)
        return self._service

    def held(self) -> Mapping[str, Held]:
        """It alone."""
        return {self._service.target: Held(self._service)}

    @property
    def control(self) -> Control:
        """Its control database."""
        return self._service.control

    @property
    def problem(self) -> KleidiaError | None:
        """None: it is read once."""
        return None

    def stop(self, reason: str) -> None:
        """End the running job, and every later one, for this reason."""
        self._service.runner.stop(reason)

    @property
    def reloads(self) -> bool:
        """It is read once."""
        return False

    async def reload(self) -> None:
        """Nothing."""
