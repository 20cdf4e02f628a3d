"""What every job has around its pipeline: one clock, one time limit, one exception tree, progress and a log."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Protocol, TypeVar

import anyio

from ..stages.errors import InternalError, JobTimeout, KleidiaError
from ..stages.exhausted import open_files
from ..stages.load.meter import Meter, measured
from ..stages.words import per_time
from .engine import Event, Pipeline, Snapshot, StageEnded, StageFailed
from .reports.jobs import OnProgress, Phase, Progress

T = TypeVar("T")

#: Seconds a job may take, as the specification says (Parallel Processing: Job Timeout).
JOB_TIMEOUT = 2 * 3600.0


class Logger(Protocol):
    """A structlog logger, or anything that takes an event and key-value pairs."""

    def debug(self, event: str, **values: Any) -> Any:
        """Log what a single stage does."""

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
        self._asks = ""  # the server that is asked outside of a pipeline
        self._seen: Snapshot | None = None
        self._at_limit: tuple[Phase, str] | None = None
        self._unstoppable = False
        self.phase: Phase = "prepare"
        self.seconds: dict[str, float] = {}
        #: Counts the load that it puts on servers, while it runs ``within`` its limit.
        self.meter = Meter()

    def begin(self, phase: Phase, **totals: Any) -> None:
        """End the current phase and begin the next, with what is known of its totals (``sql_total=…``).

        From the COMMIT on the job's time limit counts no more, for what became of it must be told. Nor does what goes
        wrong with telling of progress, as little as while what was written is put back.
        """
        self._note_limit()
        if phase == "commit" and self.limit is not None:
            self.limit.deadline = math.inf
            self.meter.ends_after(None)
        self._asks, self._seen = "", None
        self._settle()
        self.phase = phase
        self._totals = totals
        self.log("phase", phase=phase)
        self._unstoppable = self._unstoppable or phase == "undo"
        self.report(self._progress(**self._totals))
        self._unstoppable = self._unstoppable or phase == "commit"

    def _note_limit(self) -> None:
        """Remember where the job's limit met it: cleaning up may begin another phase."""
        if self._at_limit is None and self.limit is not None and self.limit.cancel_called:
            self._at_limit = self.phase, self._seen.waits_for if self._seen else self._asks

    @contextmanager
    def asking(self, server: str) -> Iterator[None]:
        """Say that this server is waited for, while no pipeline runs."""
        self._asks = server
        try:
            yield
        finally:
            self._note_limit()
            self._asks = ""

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
        """Hand progress on, when somebody wants it. What that raises stops the job, until it commits or undoes."""
        if self._on_progress is None:
            return
        try:
            self._on_progress(progress)
        except Exception as exc:
            if not self._unstoppable:
                raise
            self._unheard(exc)

    def _unheard(self, exc: Exception) -> None:
        """Log that progress was told in vain, when nothing can be stopped any more. Of a message nothing is known."""
        self._on_progress = None
        if self._log:
            self._log.warning("progress was not taken", error=type(exc).__name__)

    def tell(self, **done: Any) -> None:
        """Hand on how far the phase is (``secrets=…``), when no pipeline counts it."""
        self.report(self._progress(**done, **self._totals))

    def _progress(self, **values: Any) -> Progress:
        seconds = perf_counter() - self._started
        return Progress(phase=self.phase, seconds=seconds, vault_lets_pass=self.meter.lets_pass, **values)

    def log(self, event: str, **values: Any) -> None:
        """Log, when somebody wants it."""
        if self._log:
            self._log.info(event, **values)

    async def run(self, pipeline: Pipeline, progress: Callable[[], dict[str, int]] = dict) -> Snapshot:
        """Run a pipeline and return its last snapshot; ``progress`` gives fields of ``Progress``, as its edges counted.

        Raises the cause of a failed stage: one of ours, or ``InternalError`` for a bug, which progress that somebody
        does not take is as well; not when every stage has ended, for an archive may be there then.
        """

        def observe(event: Event) -> None:
            if isinstance(event, Snapshot):
                self._seen = event
                self.report(self._progress(stages=event.stages, **(self._totals | progress())))
            elif self._log:
                failed = {"failed": True} if isinstance(event, StageEnded) and event.error else {}
                self._log.debug(type(event).__name__, stage=event.stage, **failed)

        try:
            await pipeline.run(observe)
        except StageFailed as exc:
            for other in exc.others:
                self.log("also failed", error=str(other))
            if isinstance(exc.cause, KleidiaError):
                raise exc.cause from exc.cause.__cause__
            if exhausted := open_files(exc.cause):
                raise exhausted from exc.cause
            raise InternalError(
                f"The stage {exc.stage} failed in a way nobody expected: {type(exc.cause).__name__}.",
                hint="Please report this, with the log (--verbose).",
            ) from exc.cause
        if pipeline.observer_failed:
            self._unheard(pipeline.observer_failed)
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
                job.meter.ends_after(seconds)
            with measured(job.meter if job is not None else Meter()):
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
    slow = job.meter.lets_pass if job else None
    limited = f"; slowed down by the vault (429), which lets {per_time(slow)} pass" if slow else ""
    return JobTimeout(
        f"The job did not end within its limit of {duration(seconds)} and was stopped{where}{what}{limited}.",
        hint=("Raise the vault's rate limit (its quota). " if slow else "")
        + (f"Look what keeps {server} busy. " if server else "")
        + "If the job needs longer: raise job_timeout in [backup].",
    )


def duration(seconds: float) -> str:
    """A time for people: ``2 h``, ``90 min``, ``100 s``, ``0.5 s``."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
