"""Arguments of commands that take some of an archive. Light: ``--help`` imports it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path


def add_secrets(parser: argparse.ArgumentParser, text: str) -> None:
    """The option that chooses secrets."""
    parser.add_argument("--secret", type=_secrets, default=(), metavar="PATH,…", help=text)


def add_chosen(restore: argparse.ArgumentParser) -> None:
    """What of an archive is restored, if not all of it."""
    add_secrets(restore, "restore these secrets alone, by their paths in the archive; * ? [] match several")
    restore.add_argument("--to", metavar="PATH", help="with --secret and one path: restore it to this path")
    restore.add_argument(
        "--fresh",
        action="store_true",
        help="first make the KV mounts and roles that are missing, as an archive of format v2 recorded them; they are "
        "shown before, and roles have passwords only if the archive has them",
    )
    restore.add_argument(
        "--policies",
        action="store_true",
        help="with --fresh: also write the vault's policies that are missing; they are shown before, and one that is "
        "there with another text stays",
    )
    restore.add_argument(
        "--table",
        metavar="TABLE,…",
        help="bring back these tables alone, with rows and definition, such as public.users; names, not patterns",
    )
    restore.add_argument(
        "--as",
        dest="copy",
        metavar="TABLE",
        help="with one --table: make a copy of that name beside what is there, and touch nothing",
    )


def check_chosen(parsed: argparse.Namespace) -> str:
    """What is wrong with what ``restore`` was asked to choose; nothing if all is well."""
    if (parsed.name is None) != (parsed.undo or parsed.dismiss):
        needs = "restore needs the NAME of an archive, or --undo, or --dismiss."
        return "restore --undo and --dismiss take no NAME." if parsed.name else needs
    if parsed.policies and not parsed.fresh:
        return "restore --policies needs --fresh."
    if parsed.table is not None or parsed.copy is not None:
        return _check_tables(parsed)
    if parsed.fresh and (parsed.secret or parsed.undo or parsed.dismiss):
        return "restore --fresh restores a whole archive, or one part of it."
    if parsed.secret or parsed.to:
        return _check_secrets(parsed)
    return ""


def _check_secrets(parsed: argparse.Namespace) -> str:
    if parsed.undo or parsed.dismiss:
        return "restore --undo and --dismiss take no --secret."
    if parsed.to and len(parsed.secret) != 1:
        return "restore --to needs --secret with one path."
    if parsed.only == "database" or parsed.prune:
        return "restore --secret leaves the database alone, and removes nothing."
    parsed.only = "vault"
    return ""


def _check_tables(parsed: argparse.Namespace) -> str:
    if not parsed.table or parsed.copy == "":
        return "--table needs the name of a table, and --as a --table."
    others = {"--only": parsed.only, "--prune": parsed.prune, "--secret": parsed.secret}
    others |= {"--to": parsed.to, "--fresh": parsed.fresh, "--undo": parsed.undo, "--dismiss": parsed.dismiss}
    given = [option for option, value in others.items() if value]
    return f"--table restores tables alone, without {given[0]}." if given else ""


def add_export(command: argparse.ArgumentParser, file: Callable[[str], Path]) -> None:
    """The arguments of ``export``, behind its NAME; ``file`` reads the name of a file."""
    add_secrets(command, "with --show or --secrets: these alone, by their paths; * ? [] match several")
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--show", action="store_true", help="print the chosen secrets, values too")
    what.add_argument("--secrets", type=file, metavar="FILE", help="write secrets, a line of JSON each (default: all)")
    what.add_argument("--sql", type=file, metavar="FILE", help="write the SQL script, as pg_dump made it")
    what.add_argument("--csv", type=file, metavar="FILE", help="write the rows of the --table, with a header")
    command.add_argument("--table", metavar="SCHEMA.NAME", help="with --csv: the table")
    command.add_argument("--overwrite", action="store_true", help="replace the file if it exists")


def check_export(parsed: argparse.Namespace) -> str:
    """What is wrong with what ``export`` was asked for; nothing if all is well."""
    if bool(parsed.table) != (parsed.csv is not None):
        return "export --table and --csv need each other."
    if parsed.show and not parsed.secret:
        return "export --show needs --secret."
    if parsed.secret and not (parsed.show or parsed.secrets):
        return "export --secret needs --show, or --secrets FILE."
    return ""


def _secrets(text: str) -> tuple[str, ...]:
    paths = tuple(path.strip().removeprefix("/") for path in text.split(","))
    if not all(paths):
        raise argparse.ArgumentTypeError("it names no secret")
    return paths
