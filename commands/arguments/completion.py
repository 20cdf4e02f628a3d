"""The command ``completion``: scripts for shells, made of the parser. Light: ``--help`` imports it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..invocation import Invocation

SHELLS = ("bash", "zsh", "fish")

_BASH = """\
_kleidia_backup() {
    local word words command= before=$((COMP_CWORD - 1))
    for word in "${COMP_WORDS[@]:1:$before}"; do
        case $word in -*) ;; *) command=$word; break ;; esac
    done
    case $command in
%s
    esac
    COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _kleidia_backup kleidia-backup
"""
_ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def completion(invocation: Invocation) -> int:
    """Print the script."""
    text = script(invocation.arguments.parser, invocation.arguments.shell)
    return invocation.terminal.result({"script": text}, [text])


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for one of ``SHELLS``."""
    commands = dict(_commands(parser))
    if shell == "fish":
        return "\n".join(_fish(parser, commands)) + "\n"
    cases = [f'        {name}) words="{" ".join(_options(each))}" ;;' for name, each in commands.items()]
    first = " ".join((*commands, *_options(parser)))
    text = _BASH % "\n".join((f'        "") words="{first}" ;;', *cases))
    return text if shell == "bash" else _ZSH + text


def _fish(parser: argparse.ArgumentParser, commands: dict[str, argparse.ArgumentParser]) -> Iterator[str]:
    for name in commands:
        yield f"complete -c kleidia-backup -n __fish_use_subcommand -a {name}"
    for name, each in (("", parser), *commands.items()):
        where = f"'__fish_seen_subcommand_from {name}'" if name else "__fish_use_subcommand"
        for option in _options(each):
            if option.startswith("--"):
                yield f"complete -c kleidia-backup -n {where} -l {option.removeprefix('--')}"
            elif not option.startswith("-"):
                yield f"complete -c kleidia-backup -n {where} -a {option}"


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:  # noqa: SLF001 - argparse tells it nowhere else
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - likewise
            yield from action.choices.items()


def _options(parser: argparse.ArgumentParser) -> list[str]:
    """Options, and the words that arguments can be."""
    found: list[str] = []
    for action in parser._actions:  # noqa: SLF001 - likewise
        found += action.option_strings
        if action.choices and not action.option_strings and not isinstance(action.choices, dict):
            found += [str(each) for each in action.choices]
    return found
