"""The command line ``kleidia-backup``. Here are its arguments; what they do is in ``service``.

Nothing heavy is imported before the arguments are understood: ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from .service.exit_codes import EXIT_CODES, USAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from _typeshed import SupportsWrite

_DESCRIPTION = (
    "Back up a PostgreSQL database and an OpenBao (or Vault) KV store into one encrypted archive, and restore it."
)


class _UsageError(Exception):
    """The arguments cannot be understood. Holds the message, and which command's ``--help`` to read."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        what, colon, rest = message.partition("unrecognized arguments: ")
        if colon:  # somebody may have tried to give a password here
            options = [part.partition("=")[0] for part in rest.split() if part.startswith("-")]
            message = f"{what}unknown option {', '.join(options)}" if options else "There are too many arguments"
        raise _UsageError(f"{message}.", self.prog)

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """Argparse ignores that nothing was written; a help that a full disk swallowed is no success."""
        if file is not sys.stdout:
            super()._print_message(message, file)
            return
        from .service.terminal import Terminal

        if status := Terminal().result({}, [message]):
            sys.exit(status)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            number = version("kleidia-backup")
        except PackageNotFoundError:
            number = "(not installed)"
        parser._print_message(f"kleidia-backup {number}\n", sys.stdout)  # noqa: SLF001 - as argparse's own does
        parser.exit()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (those of the process when None); returns its exit status."""
    _open_streams()
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        parsed = _check(build_parser().parse_args(arguments))
    except _UsageError as exc:
        from .service.terminal import Terminal

        message, command = exc.args
        return Terminal(json="--json" in arguments).failed("UsageError", message, f"See {command} --help.", USAGE)
    from .service.commands import run

    return run(parsed)


def _open_streams() -> None:
    """Let a standard stream that is closed lead nowhere, and one of few characters show the others as escapes."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):  # so each gets its own number again
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - as long as we run
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands and options."""
    codes = "\n".join(f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())
    parser = _Parser(
        prog="kleidia-backup",
        description=_DESCRIPTION,
        epilog=f"exit status:\n{codes}\n\n`kleidia-backup COMMAND --help` shows a command's options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    _add_global(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False)
        _add_global(made, again=True)
        return made

    _add_jobs(command)
    _add_archives(command)
    _add_others(command)
    return parser


def _add_global(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """The options that stand before or after the command; behind it they must not reset what stood before."""

    def default(value: object) -> object:
        return argparse.SUPPRESS if again else value

    group = parser.add_argument_group("options of every command")
    group.add_argument("--config", type=Path, metavar="FILE", default=default(None), help="the configuration, in TOML")
    group.add_argument(
        "--json", action="store_true", default=default(False), help="print one JSON object as the result"
    )
    group.add_argument("--verbose", action="store_true", default=default(False), help="log to stderr, with tracebacks")
    group.add_argument("--quiet", action="store_true", default=default(False), help="show no progress")


def _add_jobs(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    backup = command("backup", "back up the database and the vault into a new archive")
    backup.add_argument(
        "--type", choices=("full", "database", "vault"), default="full", help="what to back up (default: full)"
    )
    backup.add_argument(
        "--audit-logs",
        action=argparse.BooleanOptionalAction,
        help="back up the rows of the audit tables, or not (default: as configured, else yes)",
    )
    backup.add_argument(
        "--name",
        type=_new_archive,
        help="the archive's name, without the prefix; it ends with .enc (default: made from type and time)",
    )
    backup.add_argument(
        "--allow-unreadable", action="store_true", help="make the archive even without secrets that cannot be read"
    )
    restore = command("restore", "overwrite the database and the vault with what an archive holds")
    _add_name(restore, nargs="?")
    restore.add_argument("--yes", action="store_true", help="do not ask before overwriting")
    restore.add_argument(
        "--only", choices=("database", "vault"), help="restore one part of the archive and leave the other alone"
    )
    restore.add_argument(
        "--dry-run", action="store_true", help="verify the archive and say what would happen; write nothing"
    )
    restore.add_argument(
        "--prune", action="store_true", help="afterwards remove the secrets that the archive does not have"
    )
    ending = restore.add_mutually_exclusive_group()
    ending.add_argument(
        "--undo", action="store_true", help="without NAME: put back the secrets that an unfinished restore wrote"
    )
    ending.add_argument(
        "--dismiss", action="store_true", help="without NAME: forget an unfinished restore, and leave what it wrote"
    )
    verify = command("verify", "read an archive to its last byte and check everything, without writing anywhere")
    _add_name(verify)
    verify.add_argument(
        "--password-only", action="store_true", help="only say, in about a second, whether the password opens it"
    )
    for each in (backup, restore, verify):
        password = each.add_mutually_exclusive_group()
        password.add_argument("--password-file", type=Path, metavar="FILE", help="a file with the encryption password")
        password.add_argument("--ask-password", action="store_true", help="ask for it, whatever is configured")


def _add_archives(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    command("list", "list the archives, newest first")
    _add_name(command("inspect", "show an archive's header, without the password"))
    delete = command("delete", "remove an archive")
    _add_name(delete)
    delete.add_argument("--yes", action="store_true", help="do not ask before removing")
    download = command("download", "copy an archive into a file; it stays encrypted")
    _add_name(download)
    download.add_argument("file", type=_file, metavar="FILE", help="the file to make; it must not exist")
    _add_name(command("url", "print a URL from which anybody can download the encrypted archive for one hour"))


def _add_others(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    command("test-connection", "test store, database and vault, and name the rights that are missing")
    config = command("config", "check the configuration and show it without its secrets")
    config.add_argument("--example", action="store_true", help="print a commented example instead")
    demo = command("demo", "back up, wreck and restore real servers that are started for it, and compare everything")
    demo.add_argument("--keys", type=_positive, default=1000, metavar="N", help="secrets to make (default: 1000)")
    demo.add_argument(
        "--keep", type=Path, metavar="DIR", help="let the servers run, with a configuration in DIR to try commands with"
    )
    demo.add_argument("--stop", type=Path, metavar="DIR", help="end the servers that --keep DIR let run")

    serve = command("serve", "run the service: jobs, schedule, retention, and a REST API for them")
    serve.add_argument("--demo", action="store_true", help="run it on servers that are started for it, ready to try")
    serve.add_argument("--host", metavar="ADDRESS", help="listen there (default: as configured, else 127.0.0.1)")
    serve.add_argument("--port", type=_port, metavar="N", help="listen there (default: as configured, else 8080)")


def _add_name(parser: argparse.ArgumentParser, nargs: str | None = None) -> None:
    parser.add_argument(
        "name",
        metavar="NAME",
        nargs=nargs,
        type=_archive,
        help="the archive's name as `list` shows it; the prefix may be left out",
    )


def _check(parsed: argparse.Namespace) -> argparse.Namespace:
    """What the parser cannot say. Raises ``_UsageError``."""
    if parsed.command == "restore" and (parsed.name is None) != (parsed.undo or parsed.dismiss):
        needs = "restore needs the NAME of an archive, or --undo, or --dismiss."
        said = "restore --undo and --dismiss take no NAME." if parsed.name else needs
        raise _UsageError(said, "kleidia-backup restore")
    return parsed


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("it must be a whole number, 1 at least")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError("it must be a port, 0 (any free one) to 65535")
    return int(text)


def _archive(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    return text


def _new_archive(text: str) -> str:
    if not text.endswith(".enc") or not text.isprintable():
        raise argparse.ArgumentTypeError("it must end with .enc, or `list` would not show it, and be printable")
    return text


def _file(text: str) -> Path:
    if text in {"", "-"}:
        raise argparse.ArgumentTypeError("it must be a file, for an archive goes to no terminal or pipe")
    return Path(text)


if __name__ == "__main__":
    sys.exit(main())
