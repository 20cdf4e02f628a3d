"""What ``--help`` says, that it answers at once, and how arguments are understood."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kleidia_backup.cli import build_parser
from kleidia_backup.commands.arguments.functions import COMMANDS as FUNCTIONS
from kleidia_backup.commands.arguments.functions import function_of
from kleidia_backup.commands.console.exit_codes import EXIT_CODES

from .conftest import Outcome

Call = Callable[..., Outcome]
COMMANDS = [
    *(
        "demo",
        "backup",
        "restore",
        "verify",
        "drill",
        "convert",
        "keygen",
        "copies",
        "rewrap",
        "list",
        "inspect",
        "contents",
        "diff",
        "delete",
        "pin",
        "unpin",
        "retention",
        "download",
        "export",
        "url",
        "recovery-kit",
    ),
    *("test-connection", "config", "audit", "notify", "completion", "serve"),
]
HEAVY = {"aiobotocore", "aiohttp", "anyio", "argon2", "asyncio", "cryptography", "hvac", "psycopg", "rich", "structlog"}
HEAVY |= {"fastapi", "procrastinate", "psycopg_pool", "uvicorn"}


def test_help_names_every_command_and_every_status(call: Call) -> None:
    """The overview is complete."""
    shown = call("--help")
    assert shown.status == 0
    listed = re.findall(r"^    ([a-z-]+)(?: |$)", shown.out, re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS) == sorted(FUNCTIONS)
    assert all(callable(function_of(name)) for name in FUNCTIONS)  # each where it is said to be
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


def loaded(arguments: list[str], **environment: str) -> set[str]:
    """The top-level modules that are there when the command has ended."""
    code = (
        "import sys, json\n"
        "from kleidia_backup.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    environment |= os.environ
    words = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [["--help"], ["restore", "--help"], ["--version"], []])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    """The libraries behind the commands cost half a second that a question about arguments need not take."""
    found = loaded(arguments)
    assert "kleidia_backup" in found
    assert not found & HEAVY


@pytest.mark.parametrize(
    ("words", "spared"),
    [
        ("verify nothing", {"psycopg", "hvac", "requests", "aiohttp"}),
        ("backup --type database", {"hvac", "requests", "aiohttp"}),
        ("restore --dry-run --only database nothing", {"hvac", "requests", "aiohttp"}),
    ],
)
def test_a_command_imports_what_it_uses(words: str, spared: set[str], tmp_path: Path) -> None:
    """A verification speaks to no server; a database's backup to no vault. Each library costs a tenth of a second."""
    configuration = tmp_path / "c.toml"
    configuration.write_text(
        '[database]\nconninfo = "host=127.0.0.1 port=1 dbname=x"\n[store]\ntype = "directory"\npath = "."\n'
        '[vault]\naddress = "http://127.0.0.1:1"\nroots = [{ mount = "secret" }]\n[vault.auth]\ntoken = "t"\n'
    )
    found = loaded(["--config", str(configuration), *words.split()], KLEIDIA_BACKUP_PASSWORD="canary-password")
    assert {"kleidia_backup", "cryptography"} <= found  # it went as far as its job
    assert not found & spared


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
    assert set(told.json["error"]) == {"type", "message", "hint", "exit_code", "effect", "rights", "remedies"}
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


def test_a_bare_command_shows_the_overview(call: Call) -> None:
    """Whoever types the name alone wants to know what there is."""
    assert call() == call("--help")


@pytest.mark.parametrize(
    ("typed", "near"), [("restor", "; did you mean restore?"), ("lst", "; did you mean list?"), ("frobnicate", ".")]
)
def test_a_command_that_is_not_there_has_a_neighbour(typed: str, near: str, call: Call) -> None:
    """In one short line, without the names of all commands."""
    told = call(typed)
    assert (told.status, told.out) == (2, "")
    assert told.err.startswith(f"error: there is no command {typed}{near}\n")
    assert len(told.err) < 200


def test_a_shell_completes_commands_and_options(call: Call, tmp_path: Path) -> None:
    """Bash is asked, with the script that it is given; zsh gets the same; fish has a line an option."""
    script = tmp_path / "script"
    script.write_text(call("completion", "bash").out, encoding="utf-8")
    for words, completed in (("res", "restore"), ("restore --into-m", "--into-mount"), ("completion f", "fish")):
        *before, last = words.split()
        line = f"source {script}; COMP_WORDS=(kleidia-backup {' '.join((*before, last))}); COMP_CWORD={len(before) + 1}"
        done = subprocess.run(
            ["bash", "-c", f'{line}; _kleidia_backup; echo "${{COMPREPLY[@]}}"'],
            capture_output=True,
            check=True,
            text=True,
        )
        assert done.stdout.split() == [completed]
    assert call("completion", "bash").out in call("completion", "zsh").out
    assert "__fish_seen_subcommand_from restore' -l into-mount" in call("completion", "fish").out


def test_ctrl_c_while_a_command_is_imported_is_no_traceback(tmp_path: Path) -> None:
    """The process dies of the signal, as programs do."""
    late = "import signal, os, sys\nfrom kleidia_backup import cli\n"
    late += "class Find:\n    def find_spec(self, name, *_):\n        if name.endswith('invocation'):\n"
    late += "            os.kill(os.getpid(), signal.SIGINT)\n"
    late += "sys.meta_path.insert(0, Find())\ncli.main(['list'])\n"
    done = subprocess.run([sys.executable, "-c", late], capture_output=True, check=False, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
