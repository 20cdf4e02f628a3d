"""The command line ``kleidia-backup``. Here are its arguments; what they do is in ``commands``.

Nothing heavy is imported before the arguments are understood: ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .commands.arguments.audit import add_audit, check_audit
from .commands.arguments.common import add_as_of, add_key_file, add_name, add_password
from .commands.arguments.completion import SHELLS
from .commands.arguments.copies import add_copies, add_from_copy
from .commands.arguments.parser import Parser, UsageError
from .commands.arguments.places import add_places, check_places
from .commands.arguments.retention import add_retention
from .commands.arguments.some import add_chosen, add_export, check_chosen, check_export
from .commands.arguments.types import SINCE, archive, file, most, new_archive, number, port, positive, since
from .commands.console.exit_codes import EXIT_CODES, USAGE
from .pipeline.parts.passwords import RULE

_DESCRIPTION = (
    "Back up a PostgreSQL database and an OpenBao (or Vault) KV store into one encrypted archive, and restore it."
)


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
        with _dying_quietly():
            parser = build_parser()
            parsed = _check(parser.parse_args(arguments))
            if parsed.command is None:
                parser.print_help()
                return 0
            from .commands.invocation import run
    except UsageError as exc:
        from .commands.console.failure import Failure
        from .commands.console.terminal import Terminal

        message, command = exc.args
        failure = Failure(type="UsageError", message=message, hint=f"See {command} --help.", exit_code=USAGE)
        return Terminal(json="--json" in arguments).failed(failure)
    return run(parsed)


@contextmanager
def _dying_quietly() -> Iterator[None]:
    """Let Ctrl-C end the process at once while nothing has begun: an import would end with a traceback."""
    handled = signal.getsignal(signal.SIGINT)
    ours = threading.current_thread() is threading.main_thread() and handled is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, handled)


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
    parser = Parser(
        prog="kleidia-backup",
        description=_DESCRIPTION,
        epilog=f"exit status:\n{codes}\n\n`kleidia-backup COMMAND --help` shows a command's options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    _add_global(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False)
        _add_global(made, again=True)
        return made

    _add_jobs(command)
    _add_keys(command)
    _add_archives(command)
    _add_kit(command)
    _add_others(command)
    completion = command("completion", "print a script that lets a shell complete commands and options")
    completion.add_argument("shell", choices=SHELLS, help="for which: `source <(kleidia-backup completion bash)`")
    completion.set_defaults(parser=parser)
    return parser


def _add_global(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """The options that stand before or after the command; behind it they must not reset what stood before."""

    def default(value: object) -> object:
        return argparse.SUPPRESS if again else value

    group = parser.add_argument_group("options of every command")
    group.add_argument("--config", type=Path, metavar="FILE", default=default(None), help="the configuration, in TOML")
    if not again or parser.prog.rpartition(" ")[2] != "drill":  # whose own --target is another
        group.add_argument(
            "--target",
            metavar="NAME",
            dest="of_target",
            default=default(None),
            help="which system, where the configuration has several (before the command: every command takes it there)",
        )
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
        type=new_archive,
        help="the archive's name, without the prefix; it ends with .enc (default: made from type and time)",
    )
    backup.add_argument("--format", choices=("v1", "v2"), help="the archive's format (default: as configured, else v1)")
    backup.add_argument(
        "--jobs",
        type=positive,
        metavar="N",
        help="pg_dump processes at the same time, for archives of format v2 (default: as configured, else 1)",
    )
    backup.add_argument(
        "--incremental", action=argparse.BooleanOptionalAction, help="take unchanged secrets from the newest archive"
    )
    backup.add_argument(
        "--allow-unreadable", action="store_true", help="make the archive even without secrets that cannot be read"
    )
    restore = command("restore", "overwrite the database and the vault with what an archive holds")
    add_name(restore, nargs="?")
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
    add_chosen(restore)
    add_places(restore)
    restore.add_argument(
        "--search-path",
        metavar="SCHEMA,…",
        help="schemas in which functions of the archive look for names, if it cannot be restored otherwise",
    )
    restore.add_argument(
        "--from-other-system",
        action="store_true",
        help="also an archive that says it is of another system than this one (system in [backup])",
    )
    ending = restore.add_mutually_exclusive_group()
    ending.add_argument(
        "--undo", action="store_true", help="without NAME: put back the secrets that an unfinished restore wrote"
    )
    ending.add_argument(
        "--dismiss", action="store_true", help="without NAME: forget an unfinished restore, and leave what it wrote"
    )
    verify = command("verify", "read an archive to its last byte and check everything, without writing anywhere")
    add_name(verify)
    verify.add_argument(
        "--password-only", action="store_true", help="only say, in about a second, whether the password opens it"
    )
    drill = command("drill", "restore an archive into scratch servers, compare everything, and report what is proven")
    drill.add_argument(
        "name", metavar="NAME", nargs="?", type=archive, default="latest", help="the archive (default: the newest)"
    )
    drill.add_argument(
        "--target",
        choices=("embedded", "configured"),
        help="servers that are started for it, or a new database and mount on configured ones (default: as configured, "
        "else embedded where they are installed)",
    )
    drill.add_argument("--paths", action="store_true", help="name the secrets that differ in the report")
    drill.add_argument(
        "--check-reports", action="store_true", help="instead check the chain and the signatures of the reports"
    )
    convert = command("convert", "write an archive again in another format; the old one stays")
    add_name(convert)
    convert.add_argument("--format", choices=("v1", "v2"), required=True, help="the new archive's format")
    convert.add_argument(
        "--name",
        dest="new_name",
        type=new_archive,
        metavar="NEW",
        help="the new archive's name, without the prefix (default: the old one's with -v2 or -v1 before its .enc)",
    )
    convert.add_argument(
        "--new-password-file",
        type=Path,
        metavar="FILE",
        help="a file with the new archive's encryption password (default: the old one's)",
    )
    backup.epilog = convert.epilog = RULE
    for each in (backup, restore, verify, drill, convert):
        add_password(each)
    for each in (restore, verify, drill, convert):
        add_key_file(each)
    for each in (restore, verify, drill):
        add_from_copy(each)
    add_as_of(restore, verify)


def _add_archives(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    list_ = command("list", "list the archives, newest first")
    list_.add_argument("--type", choices=("full", "database", "vault"), help="only those of this type")
    list_.add_argument("--since", type=since, metavar="TIME", help=SINCE)
    list_.add_argument("--limit", type=most, default=1000, metavar="N", help="N at most (default and most: 1000)")
    list_.add_argument("--offset", type=number, default=0, metavar="N", help="pass over the newest N")
    list_.add_argument("--uploads", action="store_true", help="unfinished uploads instead, which cost room")
    inspect = command("inspect", "show an archive's header, without the password; with --contents what it holds")
    add_name(inspect)
    inspect.add_argument(
        "--contents",
        action="store_true",
        help="list tables, rows, sizes and the number of secrets (v2; needs the password)",
    )
    add_password(inspect)
    add_key_file(inspect)
    contents = command("contents", "list what an archive holds: tables, kinds of objects, extensions, roles, secrets")
    add_name(contents)
    contents.add_argument(
        "--secrets", action="store_true", help="list the paths of the secrets; values are never shown"
    )
    add_password(contents)
    add_key_file(contents)
    diff = command("diff", "say what is different from an archive to another one, or to what there is now")
    add_name(diff)
    side = diff.add_mutually_exclusive_group()
    side.add_argument("other", metavar="OTHER", nargs="?", type=archive, help="the newer archive, or `latest`")
    side.add_argument(
        "--live", action="store_true", help="compare with the configured database and vault now (the default)"
    )
    add_password(diff)
    add_key_file(diff)
    delete = command("delete", "remove an archive")
    add_name(delete)
    delete.add_argument("--yes", action="store_true", help="do not ask before removing")
    delete.add_argument("--copies", action="store_true", help="remove its copies as well (default: they stay)")
    add_retention(command)
    download = command("download", "copy an archive into a file; it stays encrypted")
    add_name(download)
    download.add_argument("file", type=file, metavar="FILE", help="the file to make; it must not exist")
    export = command("export", "write some or all of an archive in clear text, into a file")
    add_name(export)
    add_export(export, file)
    add_as_of(list_, inspect, contents, diff, download, export)
    add_password(export)
    add_key_file(export)
    url = command("url", "print a URL from which anybody can download the encrypted archive for one hour")
    add_name(url)
    for each in (list_, inspect, contents, diff, delete, download, export, url):
        add_from_copy(each)
    add_copies(command("copies", "say how the copies of archives in other stores are; with sync: fill them"))


def _add_keys(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    keygen = command("keygen", "make a key: the secret one into a new file, the public one to stdout")
    keygen.add_argument(
        "--kind",
        choices=("x25519", "mlkem768-x25519", "signing"),
        default="x25519",
        help="x25519 (the default) and mlkem768-x25519 (post-quantum) open archives, signing signs them",
    )
    keygen.add_argument("file", type=file, metavar="FILE", help="the file for the secret key; it must not exist")
    rewrap = command("rewrap", "change who can open archives of format v2, without reading their data; revokes nothing")
    add_name(rewrap, "+")
    rewrap.add_argument(
        "--add-recipient",
        action="append",
        default=[],
        metavar="KEY",
        help="a public key whose private key opens it from now on; may be given again",
    )
    rewrap.add_argument(
        "--add-transit",
        metavar="MOUNT/KEY",
        help="a key of the Transit engine of the configured vault, which opens it from now on",
    )
    rewrap.add_argument(
        "--remove",
        action="append",
        default=[],
        metavar="KEY",
        help="a public key, its id as `inspect` shows it, or a Transit key as MOUNT/KEY, whose slot is removed; may be "
        "given again",
    )
    rewrap.add_argument(
        "--new-password-file", type=Path, metavar="FILE", help="a file with the password that takes the old one's place"
    )
    rewrap.add_argument("--drop-password", action="store_true", help="no password opens it from now on")
    rewrap.epilog = RULE
    add_password(rewrap)
    add_key_file(rewrap)


def _add_kit(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    kit = command("recovery-kit", "write what opens archives without this program, with a how-to, and print checksums")
    where = kit.add_mutually_exclusive_group(required=True)
    where.add_argument("directory", type=Path, metavar="DIR", nargs="?", help="where to write it")
    where.add_argument("--store", action="store_true", help="put it into the store, in recovery-kit/ below the prefix")


def _add_others(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    test = command("test-connection", "test store, database and vault, and name the rights that are missing")
    test.add_argument(
        "--for",
        dest="purpose",
        choices=("backup", "restore"),
        default="backup",
        help="for which the rights have to be there (default: backup); what the other lacks is shown as well",
    )
    notify = command("notify", "send a test message to everybody that [notify] tells of jobs")
    notify.add_argument("--test", action="store_true", required=True, help="send it")
    config = command("config", "check the configuration and show it without its secrets")
    config.add_argument("--example", action="store_true", help="print a commented example instead")
    demo = command("demo", "back up, wreck and restore real servers that are started for it, and compare everything")
    demo.add_argument("--keys", type=positive, default=1000, metavar="N", help="secrets to make (default: 1000)")
    demo.add_argument("--format", choices=("v1", "v2"), default="v1", help="the archive's format (default: v1)")
    demo.add_argument(
        "--keep", type=Path, metavar="DIR", help="let the servers run, with a configuration in DIR to try commands with"
    )
    demo.add_argument("--stop", type=Path, metavar="DIR", help="end the servers that --keep DIR let run")

    add_audit(command("audit", "show the service's audit log, print it as CSV, or check that nobody changed it"))
    serve = command("serve", "run the service: jobs, schedule, retention, and a REST API for them")
    serve.epilog = RULE
    serve.add_argument("--demo", action="store_true", help="run it on servers that are started for it, ready to try")
    serve.add_argument("--format", choices=("v1", "v2"), help="with --demo: the format of its archives (default: v1)")
    serve.add_argument("--host", metavar="ADDRESS", help="listen there (default: as configured, else 127.0.0.1)")
    serve.add_argument("--port", type=port, metavar="N", help="listen there (default: as configured, else 8080)")


def _check(parsed: argparse.Namespace) -> argparse.Namespace:
    """What the parser cannot say. Raises ``UsageError``."""
    changes = ("add_recipient", "add_transit", "remove", "new_password_file", "drop_password")
    if parsed.command == "rewrap" and not any(getattr(parsed, each) for each in changes):
        said = "rewrap needs --add-recipient, --add-transit, --remove, --new-password-file or --drop-password."
        raise UsageError(said, "kleidia-backup rewrap")
    if parsed.command == "audit" and (said := check_audit(parsed)):
        raise UsageError(said, "kleidia-backup audit")
    if parsed.command == "export" and (said := check_export(parsed)):
        raise UsageError(said, "kleidia-backup export")
    if parsed.command == "restore" and (said := check_chosen(parsed) or check_places(parsed)):
        raise UsageError(said, "kleidia-backup restore")
    return parsed


if __name__ == "__main__":
    sys.exit(main())
