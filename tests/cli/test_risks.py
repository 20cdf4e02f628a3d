"""Configurations that work and should not be used are warned about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Outcome

Call = Callable[..., Outcome]
_VAULT = 'roots = [{ mount = "secret" }]\n[vault.auth]\ntoken = "canary"\n'


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ('[vault]\naddress = "http://openbao.example.org:8200"\n', "http://openbao.example.org:8200 is not https"),
        ('[vault]\naddress = "http://10.0.0.1:8200"\n', "is not https"),
        ('[vault]\naddress = "http://127.0.0.1:8200"\n', ""),
        ('[vault]\naddress = "http://[::1]:8200"\n', ""),
        ('[vault]\naddress = "http://localhost:8200"\n', ""),
        ('[vault]\naddress = "https://v:8200"\n', ""),
        ('[vault]\naddress = "https://v:8200"\ninsecure_tls = true\n', "insecure_tls in [vault] is on"),
        (
            '[database]\nhost = "db.example.org"\n[vault]\naddress = "https://v"\n',
            "TLS to PostgreSQL at db.example.org:5432",
        ),
        ('[database]\nhost = "db"\nsslmode = "verify-ca"\n[vault]\naddress = "https://v"\n', "verify-full"),
        ('[database]\nhost = "db"\nsslmode = "verify-full"\n[vault]\naddress = "https://v"\n', ""),
        ('[database]\nconninfo = "host=/run/postgresql"\n[vault]\naddress = "https://v"\n', ""),
        ('[database]\nconninfo = "host=127.0.0.1,::1"\n[vault]\naddress = "https://v"\n', ""),
        ('[database]\nconninfo = "host=localhost,db"\n[vault]\naddress = "https://v"\n', "verify-full"),
        ('[store]\nbucket = "b"\ninsecure_tls = true\n[vault]\naddress = "https://v"\n', "insecure_tls in [store]"),
    ],
)
def test_a_risk_is_one_warning(text: str, warned: str, configured: Callable[[str], Path], call: Call) -> None:
    """On stderr, once; the command does what it does, and nothing secret is shown."""
    configured(text + _VAULT)
    told = call("config")
    assert told.status == 0
    assert told.err.count("warning: ") == bool(warned)
    assert warned in told.err
    assert "canary" not in told.everything


def test_what_is_not_used_is_not_warned_about(configured: Callable[[str], Path], call: Call) -> None:
    """A listing asks no vault; where the password lies in it, a verification does."""
    text = '[store]\ntype = "directory"\npath = "."\n[vault]\naddress = "http://v"\nworkers = 0\n' + _VAULT
    configured(text + '[password.vault]\nmount = "m"\npath = "p"\nfield = "f"\n')
    assert call("list").err == ""
    verified = call("verify", "x.enc")
    assert verified.status == 2  # no workers
    assert verified.err.count("is not https") == 1
