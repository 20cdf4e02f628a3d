"""Measures what is ours beside its reference, in turns, and holds the result against the table of limits."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

from pytest_benchmark.fixture import BenchmarkFixture

from .limits import LIMITS


class Measure:
    """One benchmark: ``race`` first, ``line`` or ``ratio`` for every line of the table it stands for, then ``judge``.

    A line is judged by the best of all rounds, since noise only ever adds; the medians are noted beside it.
    """

    def __init__(self, benchmark: BenchmarkFixture, say: Callable[[str], None], *, short: bool) -> None:
        self.benchmark = benchmark
        self.say = say
        self.short = short
        self.times: dict[str, list[float]] = {"ours": []}
        self.judged = False
        self._missed: list[str] = []
        benchmark.extra_info["lines"] = {}

    def race(
        self,
        ours: Callable[..., Any],
        *,
        rounds: int,
        prepare: Callable[[], tuple[Any, ...]] = tuple,
        **references: Any,
    ) -> Any:
        """Run the references and ours in turns; what ours returned last.

        ``prepare`` makes the arguments of ours; its time does not count. A reference that needs preparing returns its
        own seconds.
        """

        def before() -> tuple[tuple[Any, ...], dict[str, Any]]:
            for name, reference in references.items():
                self.times.setdefault(name, []).append(timed(reference))
            return prepare(), {}

        def run(*arguments: Any) -> Any:
            started = perf_counter()
            result = ours(*arguments)
            self.times["ours"].append(perf_counter() - started)
            return result

        result = self.benchmark.pedantic(run, setup=before, rounds=rounds)  # type: ignore[no-untyped-call]
        for name, times in self.times.items():
            self.benchmark.extra_info[f"seconds_{name}"] = [round(each, 4) for each in times]
        return result

    def best(self, name: str = "ours") -> float:
        """The best time of ours, or of a reference, in seconds."""
        return min(self.times[name])

    def median(self, name: str = "ours") -> float:
        """The median time of ours, or of a reference, in seconds."""
        return median(self.times[name])

    def ratio(self, name: str, *references: str, ours: str = "ours", **figures: Any) -> None:
        """Note and print a line that compares times: of ours, and of a reference or of several that are added up."""

        def value(pick: Callable[[str], float]) -> float:
            reference = sum(map(pick, references))
            return reference / pick(ours) if LIMITS[name].at_least else pick(ours) / reference

        bare = references[0] if len(references) == 1 else "bare"
        times = {bare: sum(map(self.best, references)), "ours": self.best(ours)}
        self.line(name, value(self.best), **times, median=value(self.median), **figures)

    def line(self, name: str, value: float, **figures: Any) -> None:
        """Note and print the result of one line of the table; ``figures`` are what it was made of."""
        limit = LIMITS[name]
        judged = not (limit.full_only and self.short)
        kept = not judged or limit.kept(value, short=self.short)
        allowed = limit.allowed(short=self.short)
        self.benchmark.extra_info["lines"][name] = {"value": value, **figures}
        aim = "" if limit.aim is None else f", aim {limit.aim:g}"
        verdict = "not judged at this size" if not judged else "ok" if kept else "MISSED"
        numbers = ", ".join(f"{key.replace('_', ' ')} {_shown(each)}" for key, each in figures.items())
        self.say(f"{name}: {value:.3f} {limit.unit} (must {allowed:.4g}{aim}): {verdict}  [{numbers}]")
        if not kept:
            self._missed.append(f"{limit.what}: {value:.3f} {limit.unit}, must reach {allowed:.4g}")

    def stages(self, *reports: Any) -> None:
        """Note and print where the time of jobs went."""
        for report in reports:
            kind = type(report).__name__.removesuffix("Report").lower()
            self.say(f"  {kind}: " + ", ".join(f"{phase} {seconds:.2f} s" for phase, seconds in report.seconds.items()))
            for stage in report.stages:
                numbers = (stage.busy, stage.waiting_in, stage.waiting_out)
                self.say(
                    f"  {stage.name:>12}: busy {numbers[0]:.2f}, for input {numbers[1]:.2f}, output {numbers[2]:.2f}"
                )
                noted = self.benchmark.extra_info.setdefault("stages", {}).setdefault(kind, {})
                noted[stage.name] = [round(each, 3) for each in numbers]

    def judge(self) -> None:
        """Fail when a line was missed."""
        self.judged = True
        assert not self._missed, "; ".join(self._missed)


def timed(work: Callable[[], Any]) -> float:
    """The seconds that work takes, or that it says it took."""
    started = perf_counter()
    result = work()
    return result if isinstance(result, float) else perf_counter() - started


def _shown(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
