"""Several systems in one configuration: what each inherits, which cannot be used, and which one a command means."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kleidia_backup.cli import main
from kleidia_backup.config.build import configured_password, database_settings, store_settings, vault_settings
from kleidia_backup.config.reader import Config, load
from kleidia_backup.config.service_build import service_settings
from kleidia_backup.config.targets.services import target_services
from kleidia_backup.config.targets.targets import one_target, target_configs
from kleidia_backup.stages.errors import ConfigurationError
from kleidia_backup.stages.stores.s3.settings import S3Settings
from kleidia_backup.stages.vault.kv.settings import KubernetesAuth

Write = Callable[[str], Path]

TOP = """
[database]
host = "db"
user = "backup"
password = "of-the-top"
[vault]
address = "http://vault:8200"
roots = [{ mount = "secret", path = "top" }]
[vault.auth]
token = "token-of-the-top"
[store]
bucket = "backups"
endpoint = "https://s3.example.org"
access_key_id = "id"
secret_access_key = "key-of-the-top"
[backup]
system = "top"
format = "v2"
[notify]
ping_url = "https://hc-ping.com/top"
webhook_url = "https://alerts.example.org"
webhook_secret = "0123456789abcdef"
[schedule]
backup = "0 3 * * *"
[service]
control_conninfo = "host=control dbname=control"
secrets_path = "services"
"""


def _target(config: Config, name: str) -> Config:
    return one_target(config, name)


def test_what_a_target_has_from_the_top_level(configured: Write) -> None:
    """Everything that it does not say, besides what would be another's: prefix, secrets, ping, system."""
    configured(f'{TOP}[targets.one]\nlabels = ["b", "a"]\n[targets.one.database]\nname = "one"\n')
    config = _target(load(environment={"KLEIDIA_STORE_REGION": "eu"}), "one")
    made = service_settings(config)
    assert made.target == made.system == "one"
    assert (made.labels, made.format) == (("a", "b"), "v2")
    assert made.database is not None
    assert made.database.where() == "database one at db:5432"
    assert made.database.environment()["PGPASSWORD"] == "of-the-top"
    assert isinstance(made.store, S3Settings)
    assert (made.store.prefix, made.store.region, made.store.secret_access_key) == (
        "backups/one/",
        "eu",
        "key-of-the-top",
    )
    assert made.secrets_path == "services/one"
    assert made.vault.own == ("secret/services/",)  # no target backs up the secrets of another
    assert made.notify is not None
    assert (made.notify.ping_url, made.notify.webhook_url) == ("", "https://alerts.example.org")
    assert made.schedule.fields() == {"schedule_enabled": True, "schedule": "0 3 * * *"}
    assert made.control.where() == "database control at control:5432"


def test_another_server_gets_no_credentials_of_the_top_level(
    configured: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who names a server, a login or a password of its own gives all that belongs to it, whatever variables hold."""
    environment = {
        "KLEIDIA_DATABASE_PASSWORD": "of-the-top",
        "VAULT_TOKEN": "token-of-the-top",
        "AWS_SECRET_ACCESS_KEY": "key-of-the-top",
        "AWS_ACCESS_KEY_ID": "id",
    }
    configured(f"""{TOP}
        [targets.one]
        database.host = "other"
        vault.address = "http://other:8200"
        store.endpoint = "https://other.example.org"
        password.env = "OTHER"
        [targets.two]
        database.conninfo = "host=other dbname=x"
        vault.auth = {{ method = "kubernetes", role = "r" }}
        """)
    config = load(environment=environment)
    one, two = one_target(config, "one"), one_target(config, "two")
    for target in (one, two):
        database = database_settings(target)
        assert database is not None
        assert "at other" in database.where()
        assert "PGPASSWORD" not in database.environment()
    with pytest.raises(ConfigurationError, match="lacks the token"):
        vault_settings(one)
    store = store_settings(one)
    assert isinstance(store, S3Settings)
    assert (store.access_key_id, store.secret_access_key) == ("", "")
    vault = vault_settings(two)
    assert vault is not None
    assert (vault.address, vault.auth) == ("http://vault:8200", KubernetesAuth(role="r"))
    monkeypatch.setenv("KLEIDIA_BACKUP_PASSWORD", "password of the top")
    monkeypatch.setenv("OTHER", "another password")
    assert (configured_password(one), configured_password(two)) == ("another password", "password of the top")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[targets.one.databse]", "Unknown section databse"),
        ("[targets.one.database]\nprot = 1", "Unknown key prot"),
        ("[targets.one.service]\nport = 1", "port in \\[service\\] is not one target's to say"),
        ("[targets]\none = 1", "targets.one must be a section"),
        ('[targets."a b"]', "name cannot be used"),
        ('[targets.one]\nlabels = "vienna"', "labels must be a list"),
        ("[targets.one.vault.auth]\ntoken_file = '/nonexistent'", "cannot be read"),
        ("[targets.two.store]\nprefix = 'same/'\n[targets.one.store]\nprefix = 'same/'", "archives where two does"),
    ],
)
def test_a_target_that_cannot_be_used_stops_no_other(text: str, problem: str, configured: Write) -> None:
    """Its error stands in its place."""
    configured(f"{TOP}[targets.good]\n{text}\n")
    found = target_services(load(environment={}))
    assert "good" in found.settings
    (error,) = found.broken.values()
    with pytest.raises(ConfigurationError, match=problem):
        raise error


def test_files_in_a_directory(configured: Write, tmp_path: Path) -> None:
    """A file each, by their names; relative paths start at it; what is there twice is neither."""
    folder = tmp_path / "targets.d"
    folder.mkdir()
    (folder / "one.toml").write_text('[password]\nfile = "one.password"\n', encoding="utf-8")
    (folder / "one.password").write_text("password of one", encoding="utf-8")
    (folder / "good.toml").write_text("", encoding="utf-8")
    (folder / ".hidden.toml").write_text("[", encoding="utf-8")
    configured(f"{TOP}targets_dir = {json.dumps(str(folder))}\ndefault_target = 'one'\n[targets.good]\n")
    config = load(environment={})
    found = target_configs(config)
    assert (found.default, [*found.configs], [*found.broken]) == ("one", ["one"], ["good"])
    assert configured_password(one_target(config, None)) == "password of one"
    with pytest.raises(ConfigurationError, match="two targets good"):
        one_target(config, "good")


def test_which_system_a_command_means(configured: Write, capsys: pytest.CaptureFixture[str]) -> None:
    """The only one, the default or the one that is named; where there are several nothing is guessed."""
    configured(f"{TOP}[targets.one]\n[targets.two.store]\nprefix = 'second/'\n")
    assert main(["config"]) == 0
    assert "2 targets; the default is one" in capsys.readouterr().out
    assert main(["--json", "--target", "two", "config"]) == 0
    assert json.loads(capsys.readouterr().out)["prefix"] == "second/"
    assert main(["list"]) == 2
    assert "one, two" in capsys.readouterr().err
    assert main(["list", "--target", "three"]) == 2
    assert "There is no such target" in capsys.readouterr().err
    configured(f"{TOP}[targets.one]\n[targets.two.databse]\n")
    assert main(["--json", "config"]) == 2
    said = {each["name"]: each["ok"] for each in json.loads(capsys.readouterr().out)["targets"]}
    assert said == {"one": True, "two": False}
    configured(TOP)
    assert main(["list", "--target", "one"]) == 2
    assert "has no targets" in capsys.readouterr().err
