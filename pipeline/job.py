"""What every job has around its pipeline: one clock, one time limit, one exception tree, progress and a log."""

from __future__ import annotations

import math
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import anyio

from ..stages.errors import ConfigurationError, InternalError, JobTimeout, KleidiaError
from .engine import Event, Pipeline, Snapshot, StageFailed
from .report import Phase, Progress
from .waiting import waits_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..stages.stores.base import ObjectStore
    from ..stages.stores.directory import DirectorySettings
    from ..stages.stores.s3 import S3Settings
    from .report import OnProgress

T = TypeVar("T")

#: Seconds a job may take, as the specification says (Parallel Processing: Job Timeout).
JOB_TIMEOUT = 2 * 3600.0


class Logger(Protocol):
    """A structlog logger, or anything that takes an event and key-value pairs."""

    def info(self, event: str, **values: Any) -> Any:
        """Log."""

    def warning(self, event: str, **values: Any) -> Any:
        """Log."""


class Job:
    """Times phases and turns the engine's counters into ``Progress``."""

    def __init__(self, on_progress: OnProgress, log: Logger | None) -> None:
        self._on_progress = on_progress
        self._log = log
        self._started = self._phase_started = perf_counter()
        self._totals: dict[str, Any] = {}
        #: The scope that ends the job when its time is over.
        self.limit: anyio.CancelScope | None = None
        #: The server that is asked outside of a pipeline.
        self.asks = ""
        self._seen: Snapshot | None = None
        self._at_limit: tuple[Phase, str] | None = None
        self.phase: Phase = "prepare"
        self.seconds: dict[str, float] = {}

    def begin(self, phase: Phase, **totals: Any) -> None:
        """End the current phase and begin the next, with what is known of its totals (``sql_total=…``).

        From the COMMIT on the job's time limit counts no more, for what became of it must be told.
        """
        self._note_limit()
        if phase == "commit" and self.limit is not None:
            self.limit.deadline = math.inf
        self.asks, self._seen = "", None
        self._settle()
        self.phase = phase
        self._totals = totals
        self.log("phase", phase=phase)
        self.report(Progress(phase=phase, seconds=perf_counter() - self._started, **self._totals))

    def _note_limit(self) -> None:
        """Remember where the job's limit met it: cleaning up may begin another phase."""
        if self._at_limit is None and self.limit is not None and self.limit.cancel_called:
            self._at_limit = self.phase, waits_for(self._seen) if self._seen else self.asks

    def at_limit(self) -> tuple[Phase, str]:
        """The phase in which the job's limit met it, and the server that it waited for, if that is known."""
        self._note_limit()
        return self._at_limit or (self.phase, "")

    def finish(self) -> dict[str, float]:
        """Seconds of each phase, and ``total``."""
        self._settle()
        self.seconds["total"] = perf_counter() - self._started
        return self.seconds

    def _settle(self) -> None:
        now = perf_counter()
        self.seconds[self.phase] = self.seconds.get(self.phase, 0.0) + now - self._phase_started
        self._phase_started = now

    def report(self, progress: Progress) -> None:
        """Hand progress on, when somebody wants it."""
        if self._on_progress:
            self._on_progress(progress)

    def tell(self, **done: Any) -> None:
        """Hand on how far the phase is (``secrets=…``), when no pipeline counts it."""
        seconds = perf_counter() - self._started
        self.report(Progress(phase=self.phase, seconds=seconds, **done, **self._totals))

    def log(self, event: str, **values: Any) -> None:
        """Log, when somebody wants it."""
        if self._log:
            self._log.info(event, **values)

    async def run(self, pipeline: Pipeline, **counters: Callable[[Snapshot], int]) -> Snapshot:
        """Run a pipeline; ``counters`` (``sql_bytes=…``) read progress off its snapshots. Returns the last one.

        Raises the cause of a failed stage: one of ours, or ``InternalError`` for a bug.
        """

        def observe(event: Event) -> None:
            if isinstance(event, Snapshot):
                self._seen = event
                values: dict[str, Any] = {name: read(event) for name, read in counters.items()} | self._totals
                seconds = perf_counter() - self._started
                self.report(Progress(phase=self.phase, seconds=seconds, stages=event.stages, **values))
            else:
                self.log(type(event).__name__, stage=event.stage)

        try:
            await pipeline.run(observe)
        except StageFailed as exc:
            for other in exc.others:
                self.log("also failed", error=str(other))
            if isinstance(exc.cause, KleidiaError):
                raise exc.cause from exc.cause.__cause__
            raise InternalError(
                f"The stage {exc.stage} failed in a way nobody expected: {type(exc.cause).__name__}.",
                hint="Please report this, with the log (--verbose).",
            ) from exc.cause
        self._seen = None
        return pipeline.snapshot()


async def within(seconds: float, work: Callable[[], Awaitable[T]], job: Job | None = None) -> T:
    """Await ``work()``; raise ``JobTimeout`` when it takes longer. It is cancelled, and cleans up, first.

    ``job`` says where it was then; from the beginning of its COMMIT on the limit counts no more.

    It runs in a task of its own: asyncio's own cancellation of a caller (``task.cancel()``, ``asyncio.timeout``,
    Ctrl-C) breaks through the shields in the task that it hits, and a COMMIT must not be left in the middle.
    """
    outcome: list[T] = []
    failure: list[BaseException] = []

    async def run() -> None:
        try:
            outcome.append(await work())
        except Exception as exc:  # noqa: BLE001 - raised again below, without the group around it
            failure.append(exc)

    try:
        with anyio.move_on_after(seconds) as limit:
            if job is not None:
                job.limit = limit
            async with anyio.create_task_group() as task:
                task.start_soon(run)
    except anyio.get_cancelled_exc_class():
        if failure:  # what cleaning up had to say
            raise failure[0] from None
        raise
    if failure:
        raise failure[0]
    if outcome:
        return outcome[0]
    raise _too_long(seconds, job)


def _too_long(seconds: float, job: Job | None) -> JobTimeout:
    phase, server = job.at_limit() if job else ("", "")
    where = f" in the phase {phase}" if phase else ""
    what = f", while it waited for {server}" if server else ""
    return JobTimeout(
        f"The job did not end within its limit of {duration(seconds)} and was stopped{where}{what}.",
        hint=(f"Look what keeps {server} busy. " if server else "")
        + "If the job needs longer: raise job_timeout in [backup].",
    )


def duration(seconds: float) -> str:
    """A time for people: ``2 h``, ``90 min``, ``100 s``, ``0.5 s``."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def open_store(store: S3Settings | DirectorySettings | ObjectStore) -> ObjectStore:
    """The store that settings describe; an object that is a store already is used as it is."""
    from ..stages.stores.directory import DirectorySettings, DirectoryStore

    if isinstance(store, DirectorySettings):
        return DirectoryStore(store)
    from ..stages.stores.s3 import S3Settings, S3Store

    return S3Store(store) if isinstance(store, S3Settings) else store


def check_password(password: str) -> None:
    """Refuse a password that cannot be meant. Raises ``ConfigurationError``."""
    if not password:
        raise ConfigurationError("The encryption password is empty.", hint="Give one; it must not be lost.")
    try:
        password.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(
            "The encryption password is not UTF-8.", hint="Save the password file, or set the terminal, as UTF-8."
        ) from None
