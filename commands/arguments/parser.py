"""How arguments are understood, and what is said of those that are not. Light: ``--help`` imports it."""

from __future__ import annotations

import argparse
import re
import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from _typeshed import SupportsWrite


class UsageError(Exception):
    """The arguments cannot be understood. Holds the message, and which command's ``--help`` to read."""


class Parser(argparse.ArgumentParser):
    """Raises instead of ending the process, and repeats nothing that may be a secret."""

    def error(self, message: str) -> NoReturn:
        """Raise ``UsageError``."""
        if unknown := re.fullmatch(r"argument COMMAND: invalid choice: '([^'@:/]{1,40})' .*", message, re.DOTALL):
            near = get_close_matches(unknown[1], _commands(self), 1)
            message = f"there is no command {unknown[1]}{f'; did you mean {near[0]}?' if near else ''}"
        what, colon, rest = message.partition("unrecognized arguments: ")
        if colon:  # somebody may have tried to give a password here
            options = [part.partition("=")[0] for part in rest.split() if part.startswith("-")]
            message = f"{what}unknown option {', '.join(options)}" if options else "There are too many arguments"
        # Nor is a connection string repeated that stands where a command or a number belongs.
        message = re.sub(r"'[^']*(?:@|://)[^']*'", "(not shown)", message)
        raise UsageError(message if message.endswith("?") else f"{message}.", self.prog)

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """Argparse ignores that nothing was written; a help that a full disk swallowed is no success."""
        if file is not sys.stdout:
            super()._print_message(message, file)
            return
        from ..console.terminal import Terminal

        if status := Terminal().result({}, [message]):
            sys.exit(status)


def _commands(parser: argparse.ArgumentParser) -> list[str]:
    """The names of a parser's commands."""
    found: list[str] = []
    for action in parser._actions:  # noqa: SLF001 - argparse tells it nowhere else
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - likewise
            found += action.choices
    return found
