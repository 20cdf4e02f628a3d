"""The program ``kleidia-backup``, and ``python -m kleidia_backup``."""

from __future__ import annotations

import signal


def main() -> int:
    """Run the command with the arguments of the process; returns its exit status.

    Until the command takes signals over, Ctrl-C ends the process at once: Python would show where it was importing.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .cli import main as run

    return run()


if __name__ == "__main__":
    raise SystemExit(main())
