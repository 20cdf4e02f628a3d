"""What the command's exit status says. Light: ``--help`` prints the table."""

from __future__ import annotations

#: Every status and its meaning, in the words of ``--help`` and README.
EXIT_CODES: dict[int, str] = {
    0: "done",
    1: "a bug of ours",
    2: "usage or configuration, or pg_dump missing or too old",
    3: "the archive: damaged, something else, of a newer version, or data that none can hold",
    4: "wrong password",
    5: "PostgreSQL",
    6: "OpenBao or Vault",
    7: "the store",
    8: "done, but not everything: the warnings name what was not read, not restored, or not written to stdout",
    9: "refused: not confirmed, another job works on the same target, an archive is pinned, or a restore is unfinished "
    "(restore --undo)",
    10: "the job's time limit",
    129: "stopped by hang-up",
    130: "stopped by Ctrl-C",
    143: "stopped by SIGTERM",
}

BUG, USAGE, WARNINGS = 1, 2, 8

#: What a failed test of a connection is the fault of.
BY_PART = {"store": 7, "database": 5, "vault": 6, "transit": 6}
