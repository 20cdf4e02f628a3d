"""The commands behind the command line: each takes an ``Invocation`` and returns the exit status."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from ..config.build import database_settings, missing_section, store_settings, vault_settings
from ..config.key_files import archive_keys, exposed_keys
from ..config.reader import Config, load
from ..config.risks import database_risks, store_risks, vault_risks
from ..config.service import JobSettings
from ..config.targets.targets import has_targets, one_target
from ..pipeline.archives.listing import newest_in
from ..pipeline.parts.elsewhere import below_mount, database_named
from ..pipeline.parts.names import LATEST
from ..pipeline.parts.request import BackupRequest, RestoreRequest
from ..pipeline.reports.stopped import left_by
from ..stages.errors import ArchiveError, ConfigurationError, InternalError, KleidiaError
from ..stages.exhausted import open_files
from ..stages.pg.server.settings import PostgresSettings, schemas
from ..stages.stores.past import store_at
from .arguments.functions import function_of
from .console.failure import Failure
from .console.memory import end_quickly, settle_malloc
from .console.password import encryption_password
from .console.stopping import Stopped, Stopper
from .console.terminal import Terminal
from .records.who import is_job

if TYPE_CHECKING:
    from ..pipeline.copies.settings import Copy
    from ..pipeline.parts.keys import Keys
    from ..pipeline.reports.jobs import OnProgress, Progress
    from ..stages.stores.base import StoreSettings
    from ..stages.vault.kv.settings import VaultSettings
    from .notifying.jobs import Notices
    from .records.history import Entry, History

T = TypeVar("T")


@dataclass
class Invocation:
    """One call of the command: what was asked for, where to say so, and the configuration, read when first needed."""

    arguments: Namespace
    terminal: Terminal
    stopper: Stopper
    last: Progress | None = field(default=None, repr=False)
    #: The archive that ``latest`` is.
    newest: str | None = None
    _warned: set[str] = field(default_factory=set, repr=False)
    #: Writes a line beside a job's progress.
    say: Callable[[str], None] = field(default=lambda _: None, repr=False)
    _made: object = field(default=None, repr=False)

    @cached_property
    def whole(self) -> Config:
        """The configuration, of all systems; its warnings are shown once. Raises ``ConfigurationError``."""
        config = load(self.arguments.config)
        self._warn(config)
        return config

    @cached_property
    def config(self) -> Config:
        """The configuration of the one system that the command is for. Raises ``ConfigurationError``."""
        config = one_target(self.whole, getattr(self.arguments, "of_target", None))
        self._warn(config)
        return config

    def _warn(self, config: Config) -> None:
        for warning in config.warnings:
            if warning not in self._warned:
                self._warned.add(warning)
                self.terminal.warn(warning)

    @cached_property
    def store(self) -> StoreSettings:
        """The store that the command reads: a copy's by ``--from-copy``, as it was at ``--as-of``.

        Raises ``ConfigurationError``.
        """
        asked, as_of = (getattr(self.arguments, name, None) for name in ("from_copy", "as_of"))
        if asked is None:
            return store_at(self.present_store, as_of)
        from ..pipeline.copies.settings import find_copy

        return store_at(find_copy(self.copies, asked).store, as_of)

    @cached_property
    def present_store(self) -> StoreSettings:
        """The store that backups are made in, as it is. Raises ``ConfigurationError``."""
        self._warn_of("store", store_risks)
        return store_settings(self.config)

    @cached_property
    def copies(self) -> tuple[Copy, ...]:
        """The second copies. Raises ``ConfigurationError``."""
        if not self.config.copies[1]:
            return ()
        from ..config.copies.read import copies_of  # few have any

        return copies_of(self.config, store_settings(self.config) if "store" in self.config.sections else None)

    @cached_property
    def database(self) -> PostgresSettings | None:
        """The database, if there is one. Raises ``ConfigurationError``."""
        self._warn_of("database", database_risks)
        return database_settings(self.config)

    @cached_property
    def vault(self) -> VaultSettings | None:
        """The vault, if there is one. Raises ``ConfigurationError``."""
        self._warn_of("vault", vault_risks)
        return vault_settings(self.config)

    @property
    def places(self) -> tuple[PostgresSettings | None, VaultSettings | None]:
        """The database and the vault that a restore goes to. Raises ``ConfigurationError``."""
        given = self.arguments
        return database_named(self.database, given.into_database), below_mount(self.vault, given.into_mount)

    def _warn_of(self, section: str, risks: Callable[[Config], Iterator[str]]) -> None:
        """Warn once of what is risky about a section that is used."""
        if section in self.config.sections and section not in self._warned:
            self._warned.add(section)
            for risk in risks(self.config):
                self.terminal.warn(risk)

    def warn_all(self, warnings: Iterable[str], what: str, paths: Iterable[str]) -> None:
        """Show what a report warns of, and each of its paths that was not ``what``."""
        for warning in warnings:
            self.terminal.warn(warning)
        if not self.terminal.json:  # there they are in the result
            for path in paths:
                self.terminal.warn(f"{what}: {path}")

    def tell(self, text: str) -> None:
        """Write a line beside the running job's progress."""
        self.say(text)

    @cached_property
    def keys(self) -> Keys:
        """The keys of [keys], and of ``--key-file``. Raises ``ConfigurationError``."""
        more = getattr(self.arguments, "key_file", None) or ()
        for risk in exposed_keys(self.config, more):
            self.terminal.warn(risk)
        return archive_keys(self.config, more)

    def settle_names(self) -> None:
        """Put the newest archive's name wherever ``latest`` was given: one and the same for all that follows.

        Raises ``ObjectMissing`` where there is none, and the ``StoreError`` tree.
        """
        given = self.arguments
        for field_name in ("name", "other"):
            names = getattr(given, field_name, None)
            if names == LATEST or (isinstance(names, list) and LATEST in names):
                newest = self.newest = self.stopper.run(lambda: newest_in(self.store), last=False)
                names = [newest if name == LATEST else name for name in names] if isinstance(names, list) else newest
            if isinstance(names, str) and getattr(given, "from_copy", None) and "store" in self.config.sections:
                names = names.removeprefix(self.present_store.prefix)  # as a listing of the first store shows it
            if names is not None:
                setattr(given, field_name, names)

    def opening_password(self) -> str | None:
        """The password for opening an archive; None where a private key is there, and nothing says the password."""
        given = self.arguments
        if given.key_file and not (given.password_file or given.ask_password):
            return None
        return self.password(needed=not self.keys.open_something)

    def password(self, *, twice: bool = False, needed: bool = True) -> str | None:
        """The encryption password, wherever it comes from; None only where it is not ``needed``."""
        given = self.arguments
        if "password.vault" in self.config.sections:
            self._warn_of("vault", vault_risks)
        return encryption_password(
            self.config,
            self.stopper.run,
            twice=twice,
            needed=needed,
            file=given.password_file,
            ask=given.ask_password,
        )

    @cached_property
    def limits(self) -> JobSettings:
        """What [backup] says of jobs. Raises ``ConfigurationError``."""
        return JobSettings(**self.config.of(JobSettings))

    def restore_request(self) -> RestoreRequest:
        """What ``restore`` was asked for, really or dry. Raises ``ConfigurationError``."""
        given = self.arguments
        return RestoreRequest(
            name=given.name,
            store=self.store,
            database=self.database,
            vault=self.vault,
            password=self.opening_password(),
            keys=self.keys,
            only=given.only,
            prune=given.prune,
            search_path=schemas(given.search_path or ""),
            system=self.limits.system,
            from_other_system=given.from_other_system,
            secrets=given.secret,
            to=given.to or "",
            into_database=given.into_database,
            create=given.create,
            into_mount=given.into_mount,
            backup_first=self.backup_before() if given.backup_first else None,
            state=self.limits.state,
            timeout=self.limits.job_timeout,
        )

    def backup_before(self) -> BackupRequest:
        """The backup before a restore: as ``backup`` would make one. Raises ``ConfigurationError``."""
        limits, keys = self.limits, self.keys
        return BackupRequest(
            store=self.present_store,
            database=self.database,
            vault=self.vault,
            password=self.password() if keys.password_slot else None,
            keys=keys,
            system=limits.system,
            include_audit=limits.include_audit_logs,
            part_size=limits.part_size,
            format=limits.format,
            level=limits.level,
            timeout=limits.job_timeout,
        )

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
        entries: Callable[[T], Sequence[Entry]] | None = None,
    ) -> T:
        """Run the command's ``last`` job, with its progress shown; ``phase`` names one that has a single phase.

        Of the parts to ``hide`` it shows nothing. What it did is written into the history, where that is configured:
        as a job, or by what ``entries`` makes of its result.

        A signal ends it unless it is committing, which is short, and cannot be taken back.
        """

        def see(progress: Progress) -> None:
            self.last = progress
            view(progress.without(hide))
            if history is not None:
                history.last = progress

        def too_late() -> bool:
            return self.last is not None and self.last.phase == "commit"

        history = self.history if last and (entries or is_job(self.arguments)) else None

        async def work() -> T:
            if history is None:
                return await start(see)
            if entries is None:
                return await history.job(lambda: start(see), lambda: self.store)
            done = await start(see)
            await history.entries(entries(done))
            return done

        notices = self.notices if last else None
        if notices is not None:
            notices.begun()
        with self.terminal.progress(phase) as view:
            self.say = view.say
            made = self.stopper.run(work, last=last, too_late=too_late)
        if last:
            self._made = made
        return made

    @cached_property
    def notices(self) -> Notices | None:
        """Who is told of this command's job, if anybody. What is wrong with that is a warning: it ends no backup."""
        if "config" not in vars(self) and has_targets(self.whole):
            return None  # the command was not for one of them
        if "notify" not in self.config.sections:
            return None
        from .notifying.jobs import notices  # mail, webhooks and all

        try:
            return notices(self.arguments, self.config, self.limits.system, self.terminal)
        except ConfigurationError as exc:
            self.terminal.warn(f"Nobody will be told of this: {exc.message} {exc.hint}")
            return None

    @cached_property
    def history(self) -> History:
        """Where it is recorded what this command does. Raises ``ConfigurationError``."""
        from .records.history import History

        return History(self.arguments, self.config, self.terminal, self.limits.job_timeout, self.stopper.stop)

    def completed(self) -> None:
        """The command ended well: tell of it."""
        if self.notices is not None:
            self.notices.completed(self._made)

    def failed(self, failure: Failure, error: BaseException) -> int:
        """The command failed: show it, and tell of it. Returns the exit status."""
        status = self.terminal.failed(failure, error)
        with suppress(KleidiaError):  # the configuration that cannot be read is what failed
            if self.notices is not None:
                self.notices.failed(failure)
        return status


def run(arguments: Namespace) -> int:
    """Run the command that was asked for; whatever happens becomes one message and an exit status."""
    settle_malloc()
    end_quickly()
    terminal = Terminal(json=arguments.json, verbose=arguments.verbose, quiet=arguments.quiet)
    with Stopper() as stopper:
        invocation = Invocation(arguments, terminal, stopper)
        try:
            invocation.settle_names()
            status = function_of(arguments.command)(invocation)
            invocation.completed()
        except Stopped as exc:
            return invocation.failed(_stopped(invocation, exc), exc)
        except KleidiaError as exc:
            if _before_writing(invocation, exc):
                exc.effect = exc.effect or "nothing"
            return invocation.failed(Failure.of(exc, invocation.newest), exc)
        except Exception as exc:  # noqa: BLE001 - the last resort: an operator sees a message, not a traceback
            error = open_files(exc) or InternalError(
                f"The command {arguments.command} failed in a way nobody expected: {type(exc).__name__}.",
                hint="" if terminal.verbose else "Run it again with --verbose and report what it shows.",
            )
            return invocation.failed(Failure.of(error), exc)
        return status


def _stopped(invocation: Invocation, stop: Stopped) -> Failure:
    """A command that was stopped, and what it leaves behind."""
    cause = stop.__cause__ if isinstance(stop.__cause__, KleidiaError) else None
    phase = invocation.last.phase if invocation.last else None
    remedies, given = cause.remedies if cause else (), invocation.arguments
    undoing = given.command == "restore" and given.undo
    left = left_by(given.command, phase, undoing=undoing, incomplete=bool(remedies))
    return Failure(
        type=Stopped.__name__,
        message=f"Stopped by {stop.by}. {left.text} {cause.message if cause else ''}".rstrip(),
        hint=cause.hint if cause and remedies else "Run the command again when it suits.",
        exit_code=stop.exit_code,
        effect=(cause.effect if cause else None) or left.effect,
        remedies=remedies,
    )


def _before_writing(invocation: Invocation, error: KleidiaError) -> bool:
    """Whether a restore failed because of its archive, and in the reading that comes before all writing."""
    given, last = invocation.arguments, invocation.last
    reading = last is None or last.phase in {"prepare", "verify"}
    return given.command == "restore" and not given.dry_run and isinstance(error, ArchiveError) and reading


def needed(part: T | None, config: Config, section: str, what: str, hint: str = "") -> T:
    """A part of the configuration that the command cannot do without. Raises ``ConfigurationError``."""
    if part is None:
        error = missing_section(config, section, what)
        raise ConfigurationError(error.message, hint=f"{error.hint} {hint}".rstrip())
    return part
