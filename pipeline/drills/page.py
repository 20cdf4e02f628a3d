"""A report as a page to print: one file without script, picture or link; every text of the report is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from .canonical import SIGNATURE, digest

_STYLE = """
body { font: 11pt/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 60em; color: #111; background: #fff }
h1 { font-size: 1.5em } h2 { font-size: 1.1em; margin: 1.5em 0 .3em; border-bottom: 1px solid #999 }
table { border-collapse: collapse; width: 100% } caption { text-align: left; font-weight: 600 }
th, td { text-align: left; padding: .15em .6em .15em 0; vertical-align: top; border-bottom: 1px solid #ddd }
td { overflow-wrap: anywhere } .verdict { font-size: 1.3em; font-weight: 700; border: 2px solid; padding: .4em .8em }
@media print { body { margin: 0; max-width: none } h2 { break-after: avoid } tr { break-inside: avoid } }
"""
_SIGNS = {"proven": "✔", "failed": "✘", "inconclusive": "?"}
_WORDS = {
    "proven": "Proven: the archive was restored, and everything that was compared is as it says.",
    "failed": "Failed: the archive does not bring back what it should.",
    "inconclusive": "Inconclusive: the drill says nothing about the archive.",
}


def page(report: Mapping[str, Any]) -> str:
    """The page."""
    verdict = str(report["verdict"])
    said = " ".join(filter(None, (str(report.get("reason") or ""), str(report.get("next_step") or ""))))
    body = "\n".join(
        [
            "<h1>Restore drill</h1>",
            f'<p class="verdict">{_SIGNS.get(verdict, "?")} {escape(_WORDS.get(verdict, verdict))}</p>',
            f"<p>{escape(said)}</p>" if said else "",
            *_sections(report),
        ]
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>Restore drill {escape(str(report['started']))}: {escape(verdict)}</title>\n"
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _sections(report: Mapping[str, Any]) -> Iterator[str]:
    names = (
        "id",
        "trigger",
        "requested_by",
        "tool",
        "started",
        "ended",
        "verdict",
        "cause",
        "cleaned_up",
        "left_behind",
    )
    yield _pairs("Drill", {name: report.get(name) for name in names})
    yield _pairs("Archive", report["archive"])
    yield _pairs("Environment", report.get("environment") or {})
    yield _rows("Not as the archive says", ("check", "name"), report["failures"])
    yield _rows("Steps", ("name", "started", "seconds", "result"), report["steps"])
    yield _pairs("Time of the restore (seconds)", report["rto"])
    yield _pairs("Age of the data (seconds)", report["rpo"])
    if database := report.get("database"):
        yield _rows("Tables", ("name", "rows_in_archive", "rows_restored", "equal"), database["tables"])
        yield _pairs("Objects of the database", database["objects"])
    yield _pairs("Secrets, compared value by value", report.get("vault") or {})
    yield _rows("Checks of the configuration", ("name", "expected", "found", "passed"), report["checks"])
    yield _rows("Warnings", ("warning",), [{"warning": each} for each in report["warnings"]])
    yield _pairs("The report before", report.get("previous") or {})
    yield _pairs("Signature", report.get(SIGNATURE) or {})
    yield _pairs("This report", {"sha256 of its canonical JSON": digest(dict(report))})


def _pairs(title: str, pairs: Mapping[str, Any]) -> str:
    known = {name: value for name, value in pairs.items() if value not in (None, "", [])}
    if not known:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{_name(name)}</th><td>{_text(value)}</td></tr>' for name, value in known.items()
    )
    return f"<h2>{escape(title)}</h2>\n<table>{rows}</table>"


def _rows(title: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    lines = "".join("<tr>" + "".join(f"<td>{_text(row.get(name))}</td>" for name in columns) + "</tr>" for row in rows)
    if not lines:
        return ""
    head = "".join(f'<th scope="col">{_name(name)}</th>' for name in columns)
    return f"<h2>{escape(title)}</h2>\n<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def _name(name: str) -> str:
    return escape(name.replace("_", " "))


def _text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return escape(", ".join(map(str, value)))
    return escape(f"{value:,}" if isinstance(value, int) else str(value))
