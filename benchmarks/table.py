"""Writes README's table of results from the JSON of a run: ``python -m benchmarks.table [RESULT.json …]``.

Without a file it takes the newest saved full run. Several must be parts of one form at one commit; a later one wins.
``--check`` writes nothing and fails when README's table is another one.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .limits import LIMITS, Limit

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
_SHORT = (
    " In this form there are 10,000 keys and 105 MB of SQL unless a line says otherwise, 100,000 secrets (against "
    "20,000) where it says a million, and ten times the secrets where it says fifty; fixed costs weigh more than in "
    "the full one."
)
#: Figures of a line that are not a reference's seconds.
_NO_TIMES = {"value", "ours", "rate", "bare_reads_to_writes"}
BEGIN, END = "<!-- benchmarks -->\n", "<!-- /benchmarks -->\n"


def table(runs: list[dict[str, Any]]) -> str:
    """The table, with where and when it was measured. Raises ``SystemExit`` for lines that are missing."""
    lines: dict[str, dict[str, Any]] = {}
    if len({(run["form"], run["commit_info"]["id"]) for run in runs}) > 1:
        raise SystemExit("these runs are of different forms or of different commits, and no table of one")
    for run in runs:
        for each in run["benchmarks"]:
            lines |= each["extra_info"]["lines"]
    if missing := [name for name in LIMITS if name not in lines]:
        raise SystemExit(f"not measured: {', '.join(missing)}")
    head = "| what | against | reached | must | aim |\n| --- | --- | --- | --- | --- |\n"
    short = runs[-1]["form"] == "short"
    shown = {name: limit for name, limit in LIMITS.items() if not (short and limit.full_only)}
    return f"{_where(runs[-1])}\n\n{head}" + "".join(_row(limit, lines[name]) for name, limit in shown.items())


def _where(run: dict[str, Any]) -> str:
    machine, form = run["machine_info"], run["form"]
    return (
        f"The {form} form on {run['datetime'][:10]}, {machine['cpu']['count']} processors "
        f"({machine['cpu']['brand_raw']}), {machine['python_implementation']} {machine['python_version']}, "
        f"PostgreSQL and OpenBao on the same machine, commit {run['commit_info']['id'][:7]}. "
        "**Bold**: the limit was missed." + (_SHORT if form == "short" else "")
    )


def _row(limit: Limit, line: dict[str, Any]) -> str:
    value = line["value"]
    reached = f"{_number(value)} {limit.unit}"
    if not limit.kept(value, short=False):
        reached = f"**{reached}**"
    times = [each for name, each in line.items() if name not in _NO_TIMES and isinstance(each, float)]
    if times and isinstance(line.get("ours"), float):
        reached += f" ({times[0]:.2f} s, ours {line['ours']:.2f} s)"
    if "per_second" in line:
        reached += f" ({line['per_second']:,.0f} secrets/s)"
    if "bare_reads_to_writes" in line:
        reached += f"; bare reads are {line['bare_reads_to_writes']:.2f} × as fast as bare writes"
    aim = "" if limit.aim is None else _number(limit.aim)
    return f"| {limit.what} | {limit.reference} | {reached} | {_number(limit.must)} | {aim} |\n"


def _number(value: float) -> str:
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _newest() -> list[dict[str, Any]]:
    """The newest saved full run, behind those of the same commit: a later run of some lines replaces them."""
    saved = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(RESULTS.rglob("*.json"))]
    full = [run for run in saved if run["form"] == "full"]
    if not full:
        raise SystemExit(f"no saved full run below {RESULTS}")
    return [run for run in full if run["commit_info"]["id"] == full[-1]["commit_info"]["id"]]


def main() -> None:
    """Rewrite the part of README between its markers, or look whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="*", type=Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    made = table([json.loads(file.read_text(encoding="utf-8")) for file in arguments.results] or _newest())
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit("README.md has no markers for the table")
    wanted = f"{before}{BEGIN}{made}{END}{after}"
    if arguments.check and wanted != text:
        raise SystemExit("README.md does not show the saved results: run python -m benchmarks.table")
    if not arguments.check:
        readme.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
