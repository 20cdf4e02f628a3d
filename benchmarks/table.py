"""Writes the tables of docs/benchmarks.md from the JSON of runs: ``python -m benchmarks.table [RESULT.json …]``.

Without a file it takes the saved full runs. Each table is of the newest commit at which half of its lines or more were
measured; a later run of that commit wins. A line that was not measured there is the newest of another commit, which it
names, or is shown as not measured. ``--check`` writes nothing and fails when the page's tables differ.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .limits import TABLES, Limit

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
_SHORT = (
    " In this form there are 10,000 keys and 105 MB of SQL unless a line says otherwise, 100,000 secrets (against "
    "20,000) where it says a million, and ten times the secrets where it says fifty; fixed costs weigh more than in "
    "the full one."
)
#: Figures of a line that are not a reference's seconds.
_NO_TIMES = {
    "value",
    "ours",
    "rate",
    "bare_reads_to_writes",
    "median",
    "function",
    "detailed",
    "several_bare",
    "listing",
}
BEGIN, END = "<!-- benchmarks -->\n", "<!-- /benchmarks -->\n"


def table(runs: list[dict[str, Any]]) -> str:
    """The tables of both formats, each with where and when it was measured."""
    if len({run["form"] for run in runs}) > 1:
        raise SystemExit("these runs are of different forms, and no table of one")
    head = "| what | against | reached | must | aim |\n| --- | --- | --- | --- | --- |\n"
    made = []
    for title, limits in TABLES.items():
        parts = _parts(runs, limits)
        lines: dict[str, dict[str, Any]] = {}
        for run in runs:
            lines |= {name: line | {"elsewhere": _when(run)} for name, line in _lines(run).items()}
        for run in parts:
            lines |= _lines(run)
        if missing := [name for name in limits if name not in lines]:
            print(f"not measured: {', '.join(missing)}", file=sys.stderr)
        short = parts[-1]["form"] == "short"
        shown = {name: limit for name, limit in limits.items() if not (short and limit.full_only)}
        rows = "".join(_row(limit, lines.get(name)) for name, limit in shown.items())
        made.append(f"{title}. {_where(parts[-1])}\n\n{head}{rows}")
    return "\n".join(made)


def _lines(run: dict[str, Any]) -> dict[str, Any]:
    return {name: line for each in run["benchmarks"] for name, line in each["extra_info"]["lines"].items()}


def _parts(runs: list[dict[str, Any]], limits: Mapping[str, Limit]) -> list[dict[str, Any]]:
    """The runs that a table is of: those of the newest commit at which half of its lines or more were measured."""
    commits: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        commits.setdefault(run["commit_info"]["id"], []).append(run)
    for parts in reversed(commits.values()):
        measured = {name for run in parts for name in _lines(run)}
        if 2 * len(limits.keys() & measured) >= len(limits):
            return parts
    return runs[-1:]


def _when(run: dict[str, Any]) -> str:
    changes = " with changes" if run["commit_info"].get("dirty") else ""
    return f"on {run['datetime'][:10]}, commit {run['commit_info']['id'][:7]}{changes}"


def _where(run: dict[str, Any]) -> str:
    machine, form = run["machine_info"], run["form"]
    return (
        f"The {form} form {_when(run)}, {machine['cpu']['count']} processors "
        f"({machine['cpu']['brand_raw']}), {machine['python_implementation']} {machine['python_version']}, "
        "PostgreSQL and OpenBao on the same machine; a line of another day says so. "
        "**Bold**: the limit was missed." + (_SHORT if form == "short" else "")
    )


def _row(limit: Limit, line: dict[str, Any] | None) -> str:
    reached = "not measured yet" if line is None else _reached(limit, line)
    aim = "" if limit.aim is None else _number(limit.aim)
    return f"| {limit.what} | {limit.reference} | {reached} | {_number(limit.must)} | {aim} |\n"


def _reached(limit: Limit, line: dict[str, Any]) -> str:
    value = line["value"]
    reached = f"{_number(value)} {limit.unit}"
    if not limit.kept(value, short=False):
        reached = f"**{reached}**"
    times = [each for name, each in line.items() if name not in _NO_TIMES and isinstance(each, float)]
    if times and isinstance(line.get("ours"), float):
        function = f", the function alone {line['function']:.2f} s" if "function" in line else ""
        reached += f" ({times[0]:.2f} s, ours {line['ours']:.2f} s{function})"
    if "median" in line:
        reached += f"; by medians {_number(line['median'])}"
    if "per_second" in line:
        reached += f" ({line['per_second']:,.0f} secrets/s)"
    if "several_bare" in line:
        reached += f"; bare pg_dumps {line['several_bare']:.2f} ×"
    if "listing" in line:
        reached += f"; a bare loop that only lists takes {line['listing'] / times[0]:.2f} × of it"
    if "bare_reads_to_writes" in line:
        reached += f"; bare reads are {line['bare_reads_to_writes']:.2f} × as fast as bare writes"
    if "elsewhere" in line:
        reached += f"; {line['elsewhere']}"
    return reached


def _number(value: float) -> str:
    if 0 < abs(value) < 0.005:
        return f"{value:.1g}"
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _saved() -> list[dict[str, Any]]:
    """The saved full runs, oldest first."""
    saved = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(RESULTS.rglob("*.json"))]
    full = [run for run in saved if run["form"] == "full"]
    if not full:
        raise SystemExit(f"no saved full run below {RESULTS}")
    return full


def main() -> None:
    """Rewrite the part of the page between its markers, or look whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="*", type=Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    made = table([json.loads(file.read_text(encoding="utf-8")) for file in arguments.results] or _saved())
    page = ROOT / "docs" / "benchmarks.md"
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit("docs/benchmarks.md has no markers for the table")
    wanted = f"{before}{BEGIN}{made}{END}{after}"
    if arguments.check and wanted != text:
        raise SystemExit("docs/benchmarks.md does not show the saved results: run python -m benchmarks.table")
    if not arguments.check:
        page.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
