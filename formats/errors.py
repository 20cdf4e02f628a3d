"""What can be wrong with an archive, and the base of every error we raise on purpose.

The base stands here because this is the lowest room: everything else may import it.
The whole tree is drawn in ``kleidia_backup.stages.errors``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

#: What became of the user's data: nothing was changed; secrets were written and put back; the database is as before
#: but secrets that were written are still there; nobody knows; everything is done.
Effect: TypeAlias = Literal["nothing", "put back", "secrets", "unknown", "done"]
#: What ends an unfinished restore, with its journal: ``kleidia-backup restore --undo`` or ``--dismiss``.
Remedy: TypeAlias = Literal["undo", "dismiss"]


@dataclass(frozen=True, slots=True)
class Right:
    """A right: to do ``verb`` on ``path`` (of a vault, a database or a store), such as ``list on kv/metadata/``.

    ``link`` stands between the two in a sentence, ``note`` behind them.
    """

    verb: str
    path: str = ""
    link: str = " on "
    note: str = ""

    def __str__(self) -> str:
        return f"{self.verb}{self.link if self.path else ''}{self.path}{self.note}"


class KleidiaError(Exception):
    """Base of every error this package raises on purpose; never raised itself.

    ``message`` says what is wrong and whose fault it is, ``hint`` what to do next. Neither ever holds a secret, and
    no code looks into them: it decides by the class and by the fields. ``effect`` is what became of the user's data,
    None where that is not known; ``rights`` are those that are missing; ``remedies`` end an unfinished restore.
    ``said`` is a server's own text, cut short: anything may stand there, so operators alone are shown it.
    """

    #: Whether callers know it by this name. A finer class, inside the room that raises it, counts as what it derives
    #: from.
    public: ClassVar[bool] = True
    #: What an effect is in a sentence; empty where the message says it.
    sentences: ClassVar[dict[Effect, str]] = {
        "nothing": "Nothing was changed.",
        "put back": "Everything is as before.",
        "secrets": "The database is as before.",
        "unknown": "",
        "done": "",
    }
    effect: Effect | None = None

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        effect: Effect | None = None,
        rights: tuple[Right, ...] = (),
        remedies: tuple[Remedy, ...] = (),
        said: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.said = said
        self.hint = hint
        self.effect = effect or self.effect
        self.rights = rights
        self.remedies = remedies

    @classmethod
    def documented(cls) -> str:
        """The name of the class that callers know it as: some have a finer one inside the room that raises them."""
        return next(each.__name__ for each in cls.__mro__ if issubclass(each, KleidiaError) and each.public)

    @property
    def summary(self) -> str:
        """What is wrong, and what it means for the user's data."""
        return f"{self.message} {self.sentences[self.effect] if self.effect else ''}".rstrip()

    @property
    def advice(self) -> str:
        """What to do next, and what the server said itself: for operators."""
        return " ".join(filter(None, (self.hint, self.said and f"The server said: {self.said}")))

    def __str__(self) -> str:
        return f"{self.summary} {self.advice}".rstrip()


class ArchiveError(KleidiaError):
    """The archive is at fault."""


class NotAnArchive(ArchiveError):
    """The object does not begin with the magic: it is something else."""


class UnsupportedArchive(ArchiveError):
    """A well-formed archive of a version, or with a size, that this reader does not take."""


class DamagedArchive(ArchiveError):
    """Bytes are missing, added or changed.

    ``layer`` names the first layer that noticed: in every format ``header``, ``seal`` or
    ``payload``; in V1 ``checksum`` or ``gzip``; in V2 ``slots``, ``tar``, ``zstd``, ``chunk``, ``index`` or
    ``signature``.
    """

    def __init__(self, layer: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint or "Restore from another archive; this one cannot be trusted.")
        self.layer = layer


class WrongPassword(ArchiveError):
    """This password does not open the archive: another one was used, or archive and checksum were both changed.

    Of V2: no key slot is for this password, or for any of these keys.
    """


class UnknownSigner(ArchiveError):
    """The archive may be a stranger's: ``signer`` (a key as text), whom it names, is none that is trusted."""

    def __init__(self, message: str, *, hint: str = "", signer: str = "") -> None:
        super().__init__(message, hint=hint)
        self.signer = signer


class OtherSystem(ArchiveError):
    """The archive is that of another installation: ``system`` made it, and the one here is ``here``."""

    def __init__(self, message: str, *, hint: str = "", system: str = "", here: str = "") -> None:
        super().__init__(message, hint=hint)
        self.system = system
        self.here = here


class PayloadError(ArchiveError):
    """Data that no archive of this format can hold, found while writing one."""
