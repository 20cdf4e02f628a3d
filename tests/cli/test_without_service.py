"""The command of a plain ``pip install``, whose configuration has [service], as that of ``config --example`` has."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Outcome

#: In a process of its own, which finds none of what the extra brings.
_PLAIN = """
import sys
sys.modules.update(dict.fromkeys(("fastapi", "jwt", "procrastinate", "psycopg_pool", "uvicorn")))
from kleidia_backup.cli import main
raise SystemExit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["list"], 0, "warning: What the service recorded of archives needs"),
        (["audit"], 2, "error: The service's audit log needs"),
        (["audit", "verify"], 2, "error: The service's audit log needs"),
        (["serve"], 2, "error: The service needs"),
    ],
)
def test_what_the_service_has_is_said_to_need_its_extra(
    configured: Callable[[str], Path], tmp_path: Path, arguments: list[str], status: int, said: str
) -> None:
    """Never a bug of ours (status 1); a list needs no service, so it is shown, with a warning."""
    (tmp_path / "password").write_text("correct horse battery staple\n", encoding="utf-8")
    lines = ["[database]", 'conninfo = "host=127.0.0.1 port=1"', "[vault]", 'address = "http://127.0.0.1:1"']
    lines += ["[[vault.roots]]", 'mount = "secret"', "[vault.auth]", 'token = "none"', "[service]"]
    configured("\n".join([*lines, "[store]", 'type = "directory"', f'path = "{tmp_path}"']))
    done = subprocess.run(
        [sys.executable, "-c", _PLAIN, *arguments], capture_output=True, text=True, check=False, timeout=100
    )
    shown = Outcome(done.returncode, done.stdout, done.stderr)
    assert (shown.status, said in shown.err) == (status, True), shown.err
    assert "is not installed" in shown.err
    assert "pip install 'kleidia-backup[service]' brings it." in shown.err
