"""The service's settings out of a configuration file."""

from __future__ import annotations

from pathlib import Path

import pytest

from kleidia_backup.config.reader import load
from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.config.service_build import service_settings
from kleidia_backup.service.api.app import create_app
from kleidia_backup.service.api.metrics import MetricsAccess
from kleidia_backup.service.service import Service
from kleidia_backup.stages.errors import ConfigurationError

_FILE = """
[database]
conninfo = "host=127.0.0.1 dbname=kleidia user=backup"
[vault]
address = "http://127.0.0.1:8200"
roots = [{ mount = "secret", path = "kleidia" }]
[vault.auth]
"""
_TOKEN = 'token = "s.token"\n'


def configured(tmp_path: Path, more: str) -> ServiceSettings:
    """The settings that a file says."""
    path = tmp_path / "service.toml"
    path.write_text(_FILE + more, encoding="utf-8")
    path.chmod(0o600)
    return service_settings(load(path, {}))


def test_without_a_word_nobody_is_believed_and_nothing_is_public(tmp_path: Path) -> None:
    """The target is the database, secrets are in the first root, no proxy is trusted, metrics need a role."""
    settings = configured(tmp_path, _TOKEN)
    assert (settings.target, settings.secrets_mount, settings.secrets_path) == (
        "kleidia",
        "secret",
        "kleidia/backup-service/kleidia",
    )
    assert settings.forwarded_allow_ips == ()
    assert create_app(Service(settings)).state.metrics == MetricsAccess()


def test_each_target_has_secrets_of_its_own(tmp_path: Path) -> None:
    """Services for two databases with the same folders of one vault do not overwrite each other's password."""
    paths = {
        configured(tmp_path, f'{_TOKEN}[service]\ntarget = "{target}"\n').secrets_path
        for target in ("a", "b", "a/b", "a b", "..")
    }
    assert len(paths) == 5
    assert all(path.startswith("kleidia/backup-service/") and path.count("/") == 2 for path in paths)
    assert "kleidia/backup-service/.." not in paths


def test_metrics_and_proxies_are_configured(tmp_path: Path) -> None:
    """The token of Prometheus, itself or in a file, and whether it needs one."""
    (tmp_path / "token").write_text("metrics-token-of-prometheus\n", encoding="utf-8")
    (tmp_path / "token").chmod(0o600)
    settings = configured(
        tmp_path,
        f"""{_TOKEN}[service]
forwarded_allow_ips = ["10.0.0.0/8", "192.0.2.1"]
metrics_token_file = "{tmp_path / "token"}"
metrics_public = true
""",
    )
    assert settings.forwarded_allow_ips == ("10.0.0.0/8", "192.0.2.1")
    access = create_app(Service(settings)).state.metrics
    assert access == MetricsAccess(public=True, token="metrics-token-of-prometheus")
    assert "metrics-token" not in repr(settings)
    assert configured(tmp_path, f'{_TOKEN}[service]\nmetrics_token = "{"x" * 16}"\n').metrics_token == "x" * 16


@pytest.mark.parametrize("token", ["short", "with blanks in the midst", "umlauts-äöü-äöü-äöü"])
def test_a_metrics_token_that_cannot_work_is_refused(tmp_path: Path, token: str) -> None:
    """One that is guessed, or that no header can hold; it is not repeated."""
    with pytest.raises(ConfigurationError, match="metrics_token in ") as caught:
        configured(tmp_path, f'{_TOKEN}[service]\nmetrics_token = "{token}"\n')
    assert token not in caught.value.message + caught.value.hint


def test_too_few_connections_are_refused(tmp_path: Path) -> None:
    """A limit under which nobody would be served is a slip."""
    assert configured(tmp_path, f"{_TOKEN}[service]\nmax_connections = 1000\n").max_connections == 1000
    with pytest.raises(ConfigurationError, match="max_connections"):
        configured(tmp_path, f"{_TOKEN}[service]\nmax_connections = 20\n")


def test_a_wrapped_secret_id_is_refused(tmp_path: Path) -> None:
    """It opens once, and a service logs in for each session: said at the start, not at the second login."""
    with pytest.raises(ConfigurationError, match="wrapped secret_id") as caught:
        configured(tmp_path, 'method = "approle"\nrole_id = "r"\nsecret_id = "s"\nwrapped = true\n')
    assert "wrapped = false" in caught.value.hint
