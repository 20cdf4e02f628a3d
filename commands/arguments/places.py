"""Arguments of a restore to another place, and of what is kept of what is there. Light: ``--help`` imports it."""

from __future__ import annotations

import argparse


def add_places(restore: argparse.ArgumentParser) -> None:
    """Where to, and what is kept of what is there."""
    restore.add_argument(
        "--into-database", default="", metavar="DATABASE", help="restore into another database of the same server"
    )
    restore.add_argument(
        "--create", action="store_true", help="with --into-database: make it if it is missing; gone again on failure"
    )
    restore.add_argument(
        "--into-mount",
        default="",
        metavar="MOUNT[/FOLDER]",
        help="restore into another KV mount of the same vault (team/kv//folder where its name has a slash)",
    )
    restore.add_argument(
        "--backup-first",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="first back up what is there; without that backup nothing is restored (default: no)",
    )


def check_places(parsed: argparse.Namespace) -> str:
    """What is wrong with the places that ``restore`` was given; nothing if all is well."""
    if parsed.create and not parsed.into_database:
        return "restore --create needs --into-database."
    if (parsed.into_database and parsed.only == "vault") or (parsed.into_mount and parsed.only == "database"):
        return "restore was given another place for the part that it leaves alone."
    if parsed.dry_run and (parsed.create or parsed.backup_first):
        return "restore --dry-run makes nothing, and compares with what is there."
    if parsed.table and (parsed.create or parsed.into_mount):
        return "--table restores tables alone, without --create and --into-mount."
    if parsed.copy and parsed.backup_first:
        return "--as overwrites nothing: there is nothing to back up first."
    return ""
