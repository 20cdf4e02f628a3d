"""What the command's exit status says. Light: ``--help`` prints the table."""

from __future__ import annotations

#: Every status and its meaning, in the words of ``--help`` and README.
EXIT_CODES: dict[int, str] = {
    0: "done",
    1: "a bug of ours",
    2: "usage or configuration, or pg_dump or psql missing or too old",
    3: "the archive: damaged, something else, of a newer version, or data that none can hold",
    4: "wrong password",
    5: "PostgreSQL",
    6: "OpenBao or Vault",
    7: "the store",
    8: "done, but not everything: the warnings name what was not read, not restored, or not written to stdout",
    9: "refused: not confirmed, another job works on the same target, or a restore is unfinished (restore --undo)",
    10: "the job's time limit",
    129: "stopped by hang-up",
    130: "stopped by Ctrl-C",
    143: "stopped by SIGTERM",
}

BUG, USAGE, WARNINGS = 1, 2, 8

#: By the name of the class; the nearest class of an error's ancestry decides.
_BY_CLASS = {
    "ArchiveError": 3,
    "WrongPassword": 4,
    "ConfigurationError": USAGE,
    "DatabaseError": 5,
    "VaultError": 6,
    "StoreError": 7,
    "NotConfirmed": 9,
    "Busy": 9,
    "UnfinishedRestore": 9,
    "JobTimeout": 10,
    "InternalError": BUG,
}

#: What a failed test of a connection is the fault of.
BY_PART = {"store": 7, "database": 5, "vault": 6}


def exit_code(error: type[BaseException]) -> int:
    """The status for a class of errors; what is none of ours is a bug."""
    return next((_BY_CLASS[each.__name__] for each in error.__mro__ if each.__name__ in _BY_CLASS), BUG)


def documented(error: type[BaseException]) -> str:
    """The name of the class that callers know an error as: some have a finer one inside the room that raises them."""
    known = (each for each in error.__mro__ if each.__module__.endswith((".errors", ".ask")))
    return next(known, error).__name__
