"""What ``--help`` says, that it answers at once, and how arguments are understood."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from kleidia_backup.cli import build_parser
from kleidia_backup.service.commands import _COMMANDS
from kleidia_backup.service.exit_codes import EXIT_CODES

from .conftest import Outcome

Call = Callable[..., Outcome]
COMMANDS = [
    *("demo", "backup", "restore", "verify", "list", "inspect", "delete", "download", "url"),
    *("test-connection", "config", "serve"),
]
HEAVY = {"aiobotocore", "aiohttp", "anyio", "argon2", "asyncio", "cryptography", "hvac", "psycopg", "rich", "structlog"}
HEAVY |= {"fastapi", "procrastinate", "psycopg_pool", "uvicorn"}


def test_help_names_every_command_and_every_status(call: Call) -> None:
    """The overview is complete."""
    shown = call("--help")
    assert shown.status == 0
    listed = re.findall(r"^    ([a-z-]+)(?: |$)", shown.out, re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS) == sorted(_COMMANDS)
    for code, meaning in EXIT_CODES.items():
        assert re.search(rf"^ +{code}  {re.escape(meaning)}$", shown.out, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, call: Call) -> None:
    """Each describes itself and every option it takes; none takes a password."""
    shown = call(command, "--help")
    assert shown.status == 0
    for option in ("--config FILE", "--json", "--verbose", "--quiet"):
        assert option in shown.out
    assert "--password " not in shown.out


def test_every_option_is_explained() -> None:
    """No option and no argument without a sentence."""
    parser = build_parser()
    (commands,) = (action for action in parser._actions if action.dest == "command")
    assert isinstance(commands.choices, dict)
    for each in (parser, *commands.choices.values()):
        for action in each._actions:
            assert action.help or action.dest == "command", (each.prog, action.dest)


@pytest.mark.parametrize("arguments", [["--help"], ["restore", "--help"], ["--version"], []])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    """The libraries behind the commands cost half a second that a question about arguments need not take."""
    code = (
        "import sys, json\n"
        "from kleidia_backup.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "kleidia_backup" in loaded
    assert not loaded & HEAVY


def test_global_options_stand_before_or_behind_the_command() -> None:
    """Where they stand makes no difference, and behind the command nothing is reset."""
    parse = build_parser().parse_args
    before = parse(["--json", "--config", "c", "--quiet", "--verbose", "list"])
    behind = parse(["list", "--json", "--config", "c", "--quiet", "--verbose"])
    mixed = parse(["--json", "--config", "c", "list", "--quiet", "--verbose"])
    assert vars(before) == vars(behind) == vars(mixed)
    assert (before.json, before.quiet, before.verbose, str(before.config)) == (True, True, True, "c")
    assert vars(parse(["list"])) == {
        **vars(before),
        "json": False,
        "quiet": False,
        "verbose": False,
        "config": None,
    }


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["restore"],
        ["backup", "--type", "half"],
        ["demo", "--keys", "0"],
        ["demo", "--keys", "many"],
        ["backup", "--pass", "x"],
        ["backup", "--password-file", "x", "--ask-password"],
        ["list", "too", "much"],
        ["verify", ""],
        ["restore", " ", "--yes"],
        ["download", "x.enc", "-"],
        ["backup", "--name", ""],
        ["backup", "--name", "monday"],
        ["backup", "--name", "mon\x1b[2Jday.enc"],
        ["backup", "--name", "mon\nday.enc"],
    ],
)
def test_arguments_that_cannot_be_understood(arguments: list[str], call: Call) -> None:
    """Status 2, one line for the error and one for where to read on; with ``--json`` one object."""
    wrong = call(*arguments)
    assert (wrong.status, wrong.out) == (2, "")
    error, hint = wrong.err.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("hint: See kleidia-backup")
    told = call("--json", *arguments)
    assert (told.status, told.err) == (2, "")
    assert set(told.json["error"]) == {"type", "message", "hint", "exit_code"}
    assert (told.json["error"]["type"], told.json["error"]["exit_code"]) == ("UsageError", 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("demo --keys abc", "argument --keys: it must be a whole number, 1 at least."),
        ("demo --keys 0", "argument --keys: it must be a whole number, 1 at least."),
        ("backup --name monday", "argument --name: it must end with .enc, or `list` would not show it"),
        ("download x.enc -", "argument FILE: it must be a file"),
    ],
)
def test_what_is_wrong_with_an_argument_is_said(arguments: str, said: str, call: Call) -> None:
    """In words for people."""
    assert f"error: {said}" in call(*arguments.split()).err


def test_a_password_given_as_an_argument_is_not_repeated(call: Call) -> None:
    """It is refused, and does not end in a log of what was printed."""
    for arguments in (["backup", "--password", "canary"], ["backup", "--password=canary"], ["list", "canary"]):
        wrong = call(*arguments)
        assert wrong.status == 2
        assert "canary" not in wrong.everything
