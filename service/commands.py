"""The commands behind the command line: each takes an ``Invocation`` and returns the exit status."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..stages.errors import ArchiveError, ConfigurationError, InternalError, KleidiaError, UnfinishedRestore
from . import words
from .config import Config, load
from .exit_codes import documented, exit_code
from .memory import settle_malloc
from .risks import store_risks, vault_risks
from .stopping import Stopped, Stopper
from .terminal import Terminal

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Awaitable, Callable, Collection, Iterator

    from ..pipeline.report import OnProgress, Progress
    from ..stages.pg.settings import PostgresSettings
    from ..stages.vault.settings import VaultSettings
    from .settings import StoreSettings

T = TypeVar("T")


@dataclass
class Invocation:
    """One call of the command: what was asked for, where to say so, and the configuration, read when first needed."""

    arguments: Namespace
    terminal: Terminal
    stopper: Stopper
    last: Progress | None = field(default=None, repr=False)
    _warned: set[str] = field(default_factory=set, repr=False)
    #: Writes a line beside a job's progress.
    say: Callable[[str], None] = field(default=lambda _: None, repr=False)

    @cached_property
    def config(self) -> Config:
        """The configuration; its warnings are shown once. Raises ``ConfigurationError``."""
        config = load(self.arguments.config)
        for warning in config.warnings:
            self.terminal.warn(warning)
        return config

    @cached_property
    def store(self) -> StoreSettings:
        """The store. Raises ``ConfigurationError``."""
        from .settings import store_settings

        self._warn_of("store", store_risks)
        return store_settings(self.config)

    @cached_property
    def database(self) -> PostgresSettings | None:
        """The database, if there is one. Raises ``ConfigurationError``."""
        from .settings import database_settings

        return database_settings(self.config)

    @cached_property
    def vault(self) -> VaultSettings | None:
        """The vault, if there is one. Raises ``ConfigurationError``."""
        from .settings import vault_settings

        self._warn_of("vault", vault_risks)
        return vault_settings(self.config)

    def _warn_of(self, section: str, risks: Callable[[Config], Iterator[str]]) -> None:
        """Warn once of what is risky about a section that is used."""
        if section in self.config.sections and section not in self._warned:
            self._warned.add(section)
            for risk in risks(self.config):
                self.terminal.warn(risk)

    def tell(self, text: str) -> None:
        """Write a line beside the running job's progress."""
        self.say(text)

    def password(self, *, twice: bool = False) -> str:
        """The encryption password, wherever it comes from."""
        from .password import encryption_password

        given = self.arguments
        if "password.vault" in self.config.sections:
            self._warn_of("vault", vault_risks)
        return encryption_password(
            self.config, self.stopper.run, twice=twice, file=given.password_file, ask=given.ask_password
        )

    @property
    def state(self) -> Path | None:
        """Where the journal of a restore lies; None for the usual place."""
        return self.config.get("backup", "state_dir", Path)

    @property
    def timeout(self) -> dict[str, float]:
        """The configured limit of a job, for the library's ``timeout``; nothing when it has the usual one."""
        seconds = self.config.get("backup", "job_timeout", float)
        return {} if seconds is None else {"timeout": seconds}

    @property
    def left_alone(self) -> tuple[str, ...]:
        """The parts that a restore leaves alone, asked or for lack of a target. Raises ``ConfigurationError``."""
        only = self.arguments.only
        targets = {"database": self.database, "vault": self.vault}
        return tuple(part for part, target in targets.items() if target is None or only not in {None, part})

    def job(
        self,
        start: Callable[[OnProgress], Awaitable[T]],
        phase: str = "",
        *,
        last: bool = True,
        hide: Collection[str] = (),
    ) -> T:
        """Run the command's ``last`` job, with its progress shown; ``phase`` names one that has a single phase.

        Of the parts to ``hide`` it shows nothing.

        A signal ends it unless it is committing, which is short, and cannot be taken back.
        """

        def see(progress: Progress) -> None:
            self.last = progress
            view(words.hiding(progress, hide))

        def too_late() -> bool:
            return self.last is not None and self.last.phase == "commit"

        with self.terminal.progress(phase) as view:
            self.say = view.say
            return self.stopper.run(lambda: start(see), last=last, too_late=too_late)


def run(arguments: Namespace) -> int:
    """Run the command that was asked for; whatever happens becomes one message and an exit status."""
    settle_malloc()
    terminal = Terminal(json=arguments.json, verbose=arguments.verbose, quiet=arguments.quiet)
    with Stopper() as stopper:
        invocation = Invocation(arguments, terminal, stopper)
        try:
            return _command(arguments.command)(invocation)
        except Stopped as exc:
            why = f" {exc.why}" if exc.why else ""
            message = f"Stopped by {exc.by}. {_left(invocation)}{why}"
            hint = "Run the command again when it suits."
            if isinstance(exc.__cause__, UnfinishedRestore):
                hint = exc.__cause__.hint
            return terminal.failed("Stopped", message, hint, exc.exit_code, exc)
        except KleidiaError as exc:
            message = f"{exc.message} Nothing was changed." if _before_writing(invocation, exc) else exc.message
            return terminal.failed(documented(type(exc)), message, exc.hint, exit_code(type(exc)), exc)
        except Exception as exc:  # noqa: BLE001 - the last resort: an operator sees a message, not a traceback
            return terminal.failed(
                InternalError.__name__,
                f"The command {arguments.command} failed in a way nobody expected: {type(exc).__name__}.",
                "" if terminal.verbose else "Run it again with --verbose and report what it shows.",
                exit_code(InternalError),
                exc,
            )


_COMMANDS = {
    "backup": ("job_commands", "backup"),
    "restore": ("job_commands", "restore"),
    "verify": ("job_commands", "verify"),
    "list": ("archive_commands", "list_"),
    "inspect": ("archive_commands", "inspect"),
    "delete": ("archive_commands", "delete"),
    "download": ("archive_commands", "download"),
    "url": ("archive_commands", "url"),
    "test-connection": ("other_commands", "test_connection"),
    "config": ("other_commands", "config"),
    "demo": ("demo_command", "demo"),
    "serve": ("serve_command", "serve"),
}


def _command(name: str) -> Callable[[Invocation], int]:
    """A command's function; with its module comes only what it needs."""
    module, function = _COMMANDS[name]
    found: Callable[[Invocation], int] = getattr(import_module(f".{module}", __package__), function)
    return found


#: What a command that was stopped leaves behind, where that does not depend on when.
_LEFT = {
    "backup": "No archive was made, and nothing is left in the store.",
    "download": "No file was written.",
    "delete": "Whether the archive is gone, `kleidia-backup list` shows.",
    "demo": "Its servers were ended.",
}


def _left(invocation: Invocation) -> str:
    """What a command that was stopped leaves behind."""
    command, last = invocation.arguments.command, invocation.last
    if command == "restore" and last is not None:
        if last.phase == "prune":
            return "The restore is complete. Secrets that the archive does not have were being removed."
        if last.phase == "commit":
            return "It was ending: look whether the data is restored."
        if last.phase == "undo":
            return "Secrets were being put back." if invocation.arguments.undo else "The database is as before."
    return _LEFT.get(command, "Nothing was changed.")


def _before_writing(invocation: Invocation, error: KleidiaError) -> bool:
    """Whether a restore failed because of its archive, and in the reading that comes before all writing."""
    given, last = invocation.arguments, invocation.last
    reading = last is None or last.phase in {"prepare", "verify"}
    told = "othing was " in str(error)
    return given.command == "restore" and not given.dry_run and isinstance(error, ArchiveError) and reading and not told


def needed(part: T | None, config: Config, section: str, what: str, hint: str = "") -> T:
    """A part of the configuration that the command cannot do without. Raises ``ConfigurationError``."""
    from .settings import missing_section

    if part is None:
        error = missing_section(config, section, what)
        raise ConfigurationError(error.message, hint=f"{error.hint} {hint}".rstrip())
    return part
