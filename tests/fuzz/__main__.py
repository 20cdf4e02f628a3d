"""Coverage-guided search for what no reader may do: ``python -m tests.fuzz [NAME ...] [--seconds N]``.

Each harness runs in a process of its own, with limits on memory, on the length of an input and on its time. What is
found is saved, and the exit status is 1; ``python -m tests.fuzz NAME --input FILE`` runs one input again, without a
search. Needs atheris, the extra ``fuzz``.

With ``--minute`` a search ends after a number of executions instead of a time. Its seed, the order of the inputs, the
hashes of strings and the time of day are given, and addresses are not random, so that it is mostly the same each time
in one checkout. In another it is another one: see CONTRIBUTING.md.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from . import clock
from .harness import quoted
from .kept import inputs
from .registry import PLACES, PLANTED, harness, place

ROOT = Path(__file__).parents[2]
#: Exit status where nothing was searched.
NOT_RUN = 2
_NOT_RUN = (
    "NOT RUN: the fuzz set needs atheris, which is not installed: pip install -e '.[fuzz]'.\n"
    "atheris has wheels for a few versions of CPython alone; README's test command still replays what is kept."
)
#: MiB that a process may have, and seconds that one input may take.
_RSS, _TIMEOUT = 400, 20
_STATUS = re.compile(r"#(\d+)\s+\w+\s+cov: (\d+) .*?(?:rss: (\d+)Mb)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one search ended. ``rss`` is in MiB; ``found`` are the saved inputs."""

    name: str
    status: int
    seconds: float
    executions: int
    coverage: int
    rss: int
    found: tuple[Path, ...]
    log: str

    @property
    def good(self) -> bool:
        """Whether it searched, and found nothing."""
        return self.status == 0 and not self.found and self.executions > 0


def search(name: str, limit: str, seed: int, keep: Path, grown: Path | None) -> Outcome:
    """Search until a ``limit`` of libFuzzer. ``grown`` is where the corpus grows from one search to the next."""
    with TemporaryDirectory() as directory:
        corpus, words = Path(directory, "corpus"), Path(directory, "words")
        words.write_text(quoted(harness(name).tokens), encoding="ascii")
        room = corpus if grown is None else grown / name
        room.mkdir(parents=True, exist_ok=True)
        keep.mkdir(parents=True, exist_ok=True)
        before = {*keep.glob(f"{name}-*")}
        options = [limit, f"-seed={seed}", f"-rss_limit_mb={_RSS}", f"-timeout={_TIMEOUT}"]
        options += [f"-max_len={harness(name).max_len}", f"-dict={words}", f"-artifact_prefix={keep}/{name}-"]
        options += ["-print_final_stats=1", "-use_value_profile=1", "-reload=0"]
        if kept := inputs(name):  # not their directory, whose order is that of the disk
            options.append(f"-seed_inputs={','.join(map(str, kept))}")
        began = time.monotonic()
        done = subprocess.run(
            [*_same_addresses(), sys.executable, "-m", "tests.fuzz.child", name, *options, str(room)],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    log = done.stdout.decode(errors="replace")
    lines = _STATUS.findall(log)
    executions, coverage = (max((int(line[at]) for line in lines), default=0) for at in (0, 1))
    peak = re.search(r"stat::peak_rss_mb:\s+(\d+)", log)
    found = tuple(sorted({*keep.glob(f"{name}-*")} - before))
    rss = int(peak[1]) if peak else 0
    return Outcome(name, done.returncode, time.monotonic() - began, executions, coverage, rss, found, log)


@cache
def _same_addresses() -> tuple[str, ...]:
    """What begins a program whose addresses are not random; nothing where that may not be, as in some containers."""
    if (program := shutil.which("setarch")) is None:
        return ()
    able = subprocess.run([program, "-R", "true"], check=False, capture_output=True).returncode == 0
    return (program, "-R") if able else ()


def blind(name: str, keep: Path) -> Outcome:
    """The short search, in a process of its own."""
    before, began = {*keep.glob(f"{name}-*")}, time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.blind", name, str(keep)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    found = tuple(sorted({*keep.glob(f"{name}-*")} - before))
    seconds, log = time.monotonic() - began, done.stdout.decode(errors="replace")
    return Outcome(name, done.returncode, seconds, place(name).runs, 0, 0, found, log)


def told(outcome: Outcome) -> Iterator[str]:
    """One line, and more for a finding."""
    yield (
        f"{outcome.name:12} {outcome.seconds:6.0f} s {outcome.executions:10,} executions "
        f"{outcome.coverage:6,} coverage {outcome.rss:5,} MiB  {'ok' if outcome.good else 'FINDING'}"
    )
    if not outcome.good:
        yield f"  status {outcome.status}; the end of its log:"
        yield from (f"  {line}" for line in outcome.log.splitlines()[-25:])
        for path in outcome.found:
            yield f"  input: {path.read_bytes()[:4000]!r}"
            yield f"  saved: {path}; again: PYTHONHASHSEED=0 python -m tests.fuzz {outcome.name} --input {path}"


def main() -> int:
    """Run the searches that were asked for; the exit status says whether anything was found."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__.partition("\n\n")[0] if __doc__ else ""
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one of {', '.join(PLACES)}; without any: all of them"
    )
    parser.add_argument("--seconds", type=int, default=200, help="of each search (200: all of them take about an hour)")
    parser.add_argument("--minute", action="store_true", help="so many executions of each as take about a minute")
    parser.add_argument("--short", action="store_true", help="without guidance: the same inputs everywhere, in seconds")
    parser.add_argument("--seed", type=int, default=1, help="another number is another search")
    parser.add_argument("--jobs", type=int, default=1, help="searches at the same time")
    parser.add_argument("--keep", type=Path, default=ROOT / "build" / "fuzz", help="where findings are saved")
    parser.add_argument("--grow", type=Path, help="a directory for a corpus that grows from one search to the next")
    parser.add_argument("--input", type=Path, help="run this one input instead")
    args = parser.parse_args()
    names = args.names or list(PLACES)
    if unknown := sorted({*names} - {*PLACES, *PLANTED}):
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(PLACES)}")
    if args.input:
        clock.stop()
        for name in names:
            harness(name).one(args.input.read_bytes())
        return 0
    if not args.short and find_spec("atheris") is None:
        print(_NOT_RUN, file=sys.stderr)
        return NOT_RUN
    for name in names:
        harness(name)  # not in threads: packages that import one another are not made for it
    good, keep = True, args.keep.absolute()

    def searched(name: str) -> Outcome:
        if args.short:
            return blind(name, keep)
        limit = f"-runs={place(name).minute}" if args.minute else f"-max_total_time={args.seconds}"
        return search(name, limit, args.seed, keep, args.grow)

    with ThreadPoolExecutor(args.jobs) as pool:
        for outcome in pool.map(searched, names):
            good = good and outcome.good
            print("\n".join(told(outcome)), flush=True)
    if good and args.keep.exists():
        shutil.rmtree(args.keep, ignore_errors=True) if not any(args.keep.iterdir()) else None
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
