"""The configuration: every key, the environment over it, and what is wrong with it said clearly."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from kleidia_backup.config.build import database_settings, store_settings, vault_settings
from kleidia_backup.config.example import example
from kleidia_backup.config.keys import KEYS, SECTIONS, Key
from kleidia_backup.config.reader import Config, load
from kleidia_backup.stages.errors import ConfigurationError
from kleidia_backup.stages.pg.server.settings import PostgresSettings
from kleidia_backup.stages.stores.directory.store import DirectorySettings
from kleidia_backup.stages.stores.s3.settings import S3Settings
from kleidia_backup.stages.vault.kv.settings import (
    AppRoleAuth,
    KubernetesAuth,
    Root,
    TokenAuth,
    UserpassAuth,
    VaultSettings,
)

CANARY = "canary-7f3a91"
Write = Callable[[str], Path]

_ALL = pytest.mark.parametrize("key", [pytest.param(key, id=key.variable) for key in KEYS.values()])
_VAULT = '[vault]\naddress = "http://vault:8200"\nroots = [{mount = "secret"}]\n'


def _literal(key: Key) -> str:
    if key.kind == "checks":
        return '[{name = "users", sql = "SELECT 1", expect = "1"}]'
    if key.kind == "grants":
        return '[{of = "ops", role = "operator", targets = ["*"]}]'
    return key.example or '[{prefix = "a/", mount = "secret", path = "b", kv_version = 2}]'


def _variable_text(key: Key) -> str:
    """The key's example as an environment variable says it."""
    if key.kind == "roots":
        return '[{"prefix": "a/", "mount": "secret", "path": "b", "kv_version": 2}]'
    value = tomllib.loads(f"it = {_literal(key)}")["it"]
    if key.kind in {"checks", "grants"}:
        return json.dumps(value)
    return ",".join(value) if isinstance(value, list) else str(value).lower() if isinstance(value, bool) else str(value)


def _get(config: Config, key: Key) -> object:
    return config.get(key.section, key.name, object)


@_ALL
def test_every_key_is_read_from_the_file_and_from_its_variable(key: Key, configured: Write) -> None:
    """The file's value and the variable's are the same value, and an empty variable says nothing."""
    configured(f"[{key.section}]\n{key.name} = {_literal(key)}\n")
    value = _get(load(environment={}), key)
    assert value is not None
    configured("")
    config = load(environment={key.variable: _variable_text(key)})
    assert _get(config, key) == value
    assert key.section.partition(".")[0] in config.sections
    assert _get(load(environment={key.variable: ""}), key) is None


@_ALL
def test_a_value_of_the_wrong_type_names_the_key_and_not_the_value(key: Key, configured: Write) -> None:
    """What cannot be used is refused by file and key; the value, which may be a secret, is not repeated."""
    wrong = f'{{ x = "{CANARY}" }}'
    configured(f"[{key.section}]\n{key.name} = {wrong}\n")
    with pytest.raises(ConfigurationError) as caught:
        load(environment={})
    assert key.name in caught.value.message
    assert f"[{key.section}]" in caught.value.message
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("KLEIDIA_DATABASE_PORT", CANARY),
        ("KLEIDIA_VAULT_INSECURE_TLS", CANARY),
        ("KLEIDIA_VAULT_ROOTS", CANARY),
        ("KLEIDIA_VAULT_ROOTS", f'[{{"mount": "secret", "{CANARY}": 1}}]'),
        ("KLEIDIA_VAULT_ROOTS", '[{"prefix": "a/"}]'),
        ("KLEIDIA_VAULT_ROOTS", '[{"mount": 1}]'),
        ("KLEIDIA_BACKUP_PART_SIZE", CANARY),
        ("KLEIDIA_BACKUP_JOB_TIMEOUT", CANARY),
        ("KLEIDIA_BACKUP_JOB_TIMEOUT", "0"),
        ("KLEIDIA_STORE_TYPE", CANARY),
        ("KLEIDIA_STORE_PATH", "~nobody-of-that-name/x"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(variable: str, text: str) -> None:
    """The message names the variable and not what it holds."""
    with pytest.raises(ConfigurationError, match=variable) as caught:
        load(environment={variable: text})
    assert CANARY not in str(caught.value)


def test_a_service_link_of_kubernetes_is_recognised() -> None:
    """A service named kleidia-database gives its pods a KLEIDIA_DATABASE_PORT that is a URL."""
    with pytest.raises(ConfigurationError) as caught:
        load(environment={"KLEIDIA_DATABASE_PORT": "tcp://10.0.0.1:5432"})
    assert "enableServiceLinks" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90.0), ("90s", 90.0), ("1.5", 1.5), ("30m", 1800.0), ("2h", 7200.0), ("1h 30m", 5400.0)],
)
def test_times_are_numbers_or_texts(text: str, expected: float) -> None:
    """Seconds may be written with units."""
    assert load(environment={"KLEIDIA_BACKUP_JOB_TIMEOUT": text}).get("backup", "job_timeout", float) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("8388608", 8 << 20), ("8MiB", 8 << 20), ("8 mb", 8 << 20), ("8M", 8 << 20), ("1.5GiB", 3 << 29), ("512b", 512)],
)
def test_sizes_are_numbers_or_texts(text: str, expected: int) -> None:
    """Bytes may be written with units, which are powers of 1024."""
    assert load(environment={"KLEIDIA_BACKUP_PART_SIZE": text}).get("backup", "part_size", int) == expected


def _example(directory: Path, *more: str) -> str:
    """The printed example with some keys taken out of their comments, its secret files in ``directory``."""
    text = example()
    for line in more:
        assert f"\n#{line}" in text, line
        text = text.replace(f"\n#{line}", f"\n{line}")
    for name in re.findall(r'"/run/secrets/([^"]+)"', text):
        (directory / name).write_text(f"{name}-{CANARY}\n", encoding="utf-8")
    return text.replace("/run/secrets", str(directory))


def test_the_example_is_a_configuration(configured: Write, tmp_path: Path) -> None:
    """What ``config --example`` prints can be used as it is, and says what it seems to say."""
    configured(_example(tmp_path))
    config = load(environment={})
    assert config.warnings == ()
    database, vault, store = database_settings(config), vault_settings(config), store_settings(config)
    assert database is not None
    assert database.where() == "database kleidia at db.example.org:5432"
    assert database.environment()["PGPASSWORD"] == f"database-password-{CANARY}"
    assert vault is not None
    assert vault.auth == AppRoleAuth("6f0c…", f"auth-secret-id-{CANARY}")
    assert vault.roots == (Root("", "secret", "kleidia"), Root("yubikeys/", "yubikeys"))
    assert store == S3Settings(
        bucket="kleidia-backups",
        endpoint="https://minio.example.org",
        prefix="backups/",
        access_key_id="AKIAIOSFODNN7EXAMPLE",
        secret_access_key=f"store-secret-access-key-{CANARY}",
        path_style=True,
    )
    assert config.get("password", "file", Path) == Path("/etc/kleidia-backup/password")
    assert CANARY not in f"{config!r} {database!r} {vault!r} {store!r}"


def test_every_key_stands_in_the_example_with_its_variable() -> None:
    """Nothing can be configured that the example does not show, and what it shows in comments can be used too."""
    text = example()
    for section in SECTIONS:
        assert re.search(rf"^#?\[{re.escape(section)}\]$", text, re.MULTILINE), section
    for key in KEYS.values():
        assert key.variable in text
        for variable in key.standard:
            assert variable in text
        if key.kind not in {"roots", "checks", "grants"}:
            assert re.search(rf"^#?{key.name} = .* {key.variable}\b", text, re.MULTILINE), key.where
    uncommented = re.sub(r"^#(?=[a-z_\[])", "", text, flags=re.MULTILINE)
    tables = tomllib.loads(uncommented)
    for key in KEYS.values():
        found: Any = tables
        for part in key.section.split("."):
            found = found[part]
        assert key.name in found, key.where


def test_the_examples_defaults_are_the_real_defaults(configured: Write, tmp_path: Path) -> None:
    """A key shown with its default changes nothing when it is taken out of its comment."""
    configured(_example(tmp_path))
    plain = load(environment={})
    configured(
        _example(
            tmp_path,
            *("port = 5432", 'pg_dump = "pg_dump"', 'preserve_tables = ["b', 'audit_tables = ["a'),
            *("workers = 20", "request_timeout = 100", "retry_budget = 60", 'mount = "approle"', "wrapped = false"),
            *('checksum = "crc32"', "connect_timeout = 10", 'read_timeout = "5m"', 'operation_timeout = "30m"'),
            *("attempts = 8", "connections = 24", 'lock_timeout = "10m"', "query_timeout = 60"),
        ).replace("\ninsecure_tls", "\n#")
    )
    said = load(environment={})
    assert store_settings(said) == store_settings(plain)
    assert vault_settings(said) == vault_settings(plain)
    assert (one := database_settings(said)) is not None
    assert (other := database_settings(plain)) is not None
    assert (one.pg_dump, one.preserve, one.audit) == (other.pg_dump, other.preserve, other.audit)
    assert (one.lock_timeout, one.query_timeout) == (other.lock_timeout, other.query_timeout)
    waiting = database_settings(load(environment={"KLEIDIA_DATABASE_LOCK_TIMEOUT": "90s"}))
    assert (waiting is not None, waiting and waiting.lock_timeout) == (True, 90.0)


def test_every_setting_of_the_library_can_be_configured() -> None:
    """A new field of a settings class needs a key, or a reason why not."""
    kinds = {
        "database": (PostgresSettings, {"conninfo", "_parameters", "preserve", "audit"}),
        "vault": (VaultSettings, {"auth", "start_budget", "retry_base", "retry_cap", "own"}),
        "store": (S3Settings, {"as_of", "backoff", "tells_why"}),
    }
    for section, (settings, rest) in kinds.items():
        names = {field.name for field in fields(settings)} - rest
        assert names <= {key.name for key in KEYS.values() if key.section == section}
    logins = {field.name for kind in (TokenAuth, AppRoleAuth, KubernetesAuth, UserpassAuth) for field in fields(kind)}
    assert logins <= {key.name for key in KEYS.values() if key.section == "vault.auth"}


@pytest.mark.parametrize(
    ("text", "unknown", "near"),
    [
        ("[stor]\n", "stor", "store"),
        ('bucket = "x"\n', "bucket", ""),
        ('[store]\nbukket = "x"\n', "bukket", "bucket"),
        ('[vault]\nadress = "x"\n', "adress", "address"),
        ('[vault.auth]\nsecretid = "x"\n', "secretid", "secret_id"),
        ("[vault.auht]\n", "auht", "auth"),
        ('[password.vault]\nfeild = "x"\n', "feild", "field"),
        (f'[password]\npassword = "{CANARY}"\n', "password", ""),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known(text: str, unknown: str, near: str, configured: Write) -> None:
    """A misspelt key is an error, never silently without effect."""
    path = configured(text)
    with pytest.raises(ConfigurationError) as caught:
        load(environment={})
    assert f" {unknown} in " in caught.value.message
    assert str(path.name) in caught.value.message
    assert (f"Did you mean {near}?" in caught.value.hint) == bool(near)
    assert CANARY not in str(caught.value)


def test_a_misspelt_variable_is_warned_about() -> None:
    """Variables with our prefix may belong to others, so only those that look like one of ours are mentioned."""
    environment = {
        "KLEIDIA_STORE_BUKET": "x",
        "KLEIDIA_BACKUP_PASSWORD_FILE": "x",
        "KLEIDIA_FRONTEND_URL": "x",
        "KLEIDIA_BACKUP_PASSWORD": "x",
    }
    warnings = load(environment=environment).warnings
    assert [re.findall(r"KLEIDIA_\w+", warning) for warning in warnings] == [
        ["KLEIDIA_STORE_BUKET", "KLEIDIA_STORE_BUCKET"],
        ["KLEIDIA_BACKUP_PASSWORD_FILE", "KLEIDIA_PASSWORD_FILE"],
    ]


@pytest.mark.parametrize("text", ["[store\n", "store = 1\n", '[store]\ntype = "s3"\ntype = "s3"\n', "\udc80"])
def test_a_file_that_is_no_configuration_is_named(text: str, alone: Path) -> None:
    """Broken TOML, a section that is none, bytes that are no UTF-8."""
    path = alone / "broken.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigurationError) as caught:
        load(path, {})
    assert "broken.toml" in caught.value.message
    assert caught.value.hint


def test_where_a_configuration_is_looked_for(configured: Write, alone: Path) -> None:
    """``--config``, then KLEIDIA_CONFIG, then the default places; a named one must exist."""
    assert load(environment={}).file is None
    default = configured("")
    named, chosen = alone / "named.toml", alone / "chosen.toml"
    named.write_text("", encoding="utf-8")
    chosen.write_text("", encoding="utf-8")
    assert load(environment={}).file == Path(default.name)
    assert load(environment={"KLEIDIA_CONFIG": str(named)}).file == named
    assert load(chosen, {"KLEIDIA_CONFIG": str(named)}).file == chosen
    for missing in ({"KLEIDIA_CONFIG": "gone.toml"},):
        with pytest.raises(ConfigurationError, match=r"gone\.toml"):
            load(environment=missing)


def test_the_environment_replaces_the_files_way_of_giving_a_secret(configured: Write, tmp_path: Path) -> None:
    """A secret given by a variable wins over a file's file, and a variable's file over the file's secret."""
    path = tmp_path / "secret"
    path.write_text("from the file\n", encoding="utf-8")
    configured(f'[database]\npassword_file = "{path}"\n[store]\nsecret_access_key = "inline"\n')
    config = load(
        environment={"KLEIDIA_DATABASE_PASSWORD": "variable", "KLEIDIA_STORE_SECRET_ACCESS_KEY_FILE": str(path)}
    )
    assert config.secret("database", "password") == "variable"
    assert config.secret("store", "secret_access_key") == "from the file"
    assert load(environment={}).secret("database", "password") == "from the file"


@pytest.mark.parametrize(
    "text",
    [
        '[database]\npassword = "a"\npassword_file = "b"\n',
        '[password]\nenv = "a"\nfile = "b"\n',
        '[password]\nfile = "b"\n[password.vault]\nmount = "c"\n',
    ],
)
def test_two_ways_to_give_one_secret_exclude_each_other(text: str, configured: Write) -> None:
    """Which of two passwords is meant is not guessed."""
    configured(text)
    with pytest.raises(ConfigurationError, match="exclude each other"):
        load(environment={})


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "No such file"), (b"", "empty"), (b"\n", "empty"), (b"\xff", "not UTF-8")]
)
def test_a_secrets_file_that_cannot_be_used_is_named(
    content: bytes | None, problem: str, configured: Write, tmp_path: Path
) -> None:
    """The message says which key's file, and why."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    configured(f'[database]\npassword_file = "{path}"\n')
    with pytest.raises(ConfigurationError, match=f"password_file in .database.*{problem}"):
        database_settings(load(environment={}))


@pytest.mark.parametrize(("content", "secret"), [(b"a\n", "a"), (b"a\r\n", "a"), (b"a\n\n", "a\n"), (b" a ", " a ")])
def test_one_line_break_at_the_end_of_a_secrets_file_does_not_count(
    content: bytes, secret: str, tmp_path: Path
) -> None:
    """Editors add one; anything else may be part of the secret."""
    path = tmp_path / "secret"
    path.write_bytes(content)
    assert load(environment={"KLEIDIA_DATABASE_PASSWORD_FILE": str(path)}).secret("database", "password") == secret


def test_variables_of_other_tools_count_only_where_nothing_else_is_said(configured: Write) -> None:
    """A stray VAULT_ADDR never sends a restore to another vault than the file names."""
    configured(_VAULT)
    foreign = {"VAULT_ADDR": "http://other:8200", "VAULT_TOKEN": "theirs", "BAO_NAMESPACE": "team"}
    settings = vault_settings(load(environment=foreign))
    assert settings is not None
    assert settings.address == "http://vault:8200"
    assert (settings.auth, settings.namespace) == (TokenAuth("theirs"), "team")
    configured(_VAULT + '[vault.auth]\ntoken = "ours"\n')
    settings = vault_settings(load(environment=foreign))
    assert settings is not None
    assert settings.auth == TokenAuth("ours")
    configured("")
    assert vault_settings(load(environment=foreign)) is None


def test_the_first_of_the_other_tools_variables_wins() -> None:
    """OpenBao's own names come before Vault's, the S3 endpoint before that of all of AWS."""
    config = load(
        environment={
            "BAO_SKIP_VERIFY": "true",
            "VAULT_SKIP_VERIFY": "false",
            "AWS_ENDPOINT_URL": "http://aws",
            "AWS_ENDPOINT_URL_S3": "http://s3",
            "AWS_DEFAULT_REGION": "eu-west-1",
        }
    )
    assert config.get("vault", "insecure_tls", bool) is True
    assert config.get("store", "endpoint", str) == "http://s3"
    assert config.get("store", "region", str) == "eu-west-1"


def test_a_foreign_variable_that_cannot_be_used_is_named(configured: Write) -> None:
    """The message names the variable that was read, not ours."""
    configured(_VAULT)
    with pytest.raises(ConfigurationError, match="VAULT_SKIP_VERIFY"):
        vault_settings(load(environment={"VAULT_SKIP_VERIFY": "perhaps", "VAULT_TOKEN": "t"}))


def test_a_configuration_without_a_file(tmp_path: Path) -> None:
    """Containers configure by variables alone."""
    config = load(
        environment={
            "KLEIDIA_DATABASE_HOST": "db",
            "KLEIDIA_DATABASE_NAME": "app",
            "KLEIDIA_VAULT_ADDRESS": "http://vault:8200",
            "KLEIDIA_VAULT_ROOTS": '[{"mount": "secret", "path": "app"}, {"prefix": "k/", "mount": "keys"}]',
            "KLEIDIA_VAULT_AUTH_METHOD": "kubernetes",
            "KLEIDIA_VAULT_AUTH_ROLE": "backup",
            "KLEIDIA_STORE_TYPE": "directory",
            "KLEIDIA_STORE_PATH": str(tmp_path),
            "KLEIDIA_BACKUP_PRESERVE_TABLES": 'a, app.b, "My App"."T"',
        }
    )
    database, vault = database_settings(config), vault_settings(config)
    assert database is not None
    assert database.where() == "database app at db:5432"
    assert database.preserve == ("a", "app.b", '"My App"."T"')
    assert vault is not None
    assert vault.roots == (Root("", "secret", "app"), Root("k/", "keys"))
    assert vault.auth == KubernetesAuth("backup")
    assert store_settings(config) == DirectorySettings(tmp_path)


def test_a_connection_string_is_completed_by_the_other_keys(configured: Write) -> None:
    """The keys win over the string; neither shows its password."""
    configured(
        f'[database]\nconninfo = "postgresql://u:{CANARY}@db/app?sslmode=require"\nname = "other"\nport = 6432\n'
    )
    settings = database_settings(load(environment={}))
    assert settings is not None
    assert settings.where() == "database other at db:6432"
    assert "sslmode=require" in settings.public_conninfo()
    assert settings.environment()["PGPASSWORD"] == CANARY
    assert CANARY not in repr(settings) + settings.public_conninfo()
    configured(f'[database]\nconninfo = "postgresql://u:{CANARY}@[::1/app"\n')
    with pytest.raises(ConfigurationError) as caught:
        database_settings(load(environment={}))
    assert CANARY not in str(caught.value)


def test_relative_paths_start_at_the_files_directory(tmp_path: Path) -> None:
    """A configuration can be moved together with what it names; a name of a program is looked for on PATH."""
    path = tmp_path / "kleidia-backup.toml"
    path.write_text(
        '[store]\ntype = "directory"\npath = "archives"\n[database]\npg_dump = "bin/pg_dump"\n',
        encoding="utf-8",
    )
    config = load(path, {})
    assert store_settings(config) == DirectorySettings(tmp_path / "archives")
    database = database_settings(config)
    assert database is not None
    assert database.pg_dump == str(tmp_path / "bin/pg_dump")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('method = "token"\ntoken = "t"', TokenAuth("t")),
        ('token = "t"', TokenAuth("t")),
        ('method = "approle"\nrole_id = "r"\nsecret_id = "s"\nwrapped = true', AppRoleAuth("r", "s", wrapped=True)),
        ('method = "approle"\nrole_id = "r"\nsecret_id = "s"\nmount = "m"', AppRoleAuth("r", "s", "m")),
        ('method = "kubernetes"\nrole = "r"\njwt_file = "/j"\nmount = "m"', KubernetesAuth("r", Path("/j"), "m")),
        ('method = "userpass"\nusername = "u"\npassword = "p"', UserpassAuth("u", "p")),
    ],
)
def test_every_login_can_be_configured(text: str, expected: object, configured: Write) -> None:
    """Each method with its keys."""
    configured(f"{_VAULT}[vault.auth]\n{text}\n")
    settings = vault_settings(load(environment={}))
    assert settings is not None
    assert settings.auth == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "token"),
        ('method = "approle"\nrole_id = "r"', "secret_id"),
        ('method = "approle"\nsecret_id = "r"', "role_id"),
        ('method = "kubernetes"', "role"),
        ('method = "userpass"\nusername = "u"', "password"),
        ('method = "userpass"\npassword = "u"', "username"),
        ('token = "t"\nsecret_id = "s"', "secret_id"),
        ('method = "kubernetes"\nrole = "r"\nusername = "u"', "username"),
        ('method = "approle"\nrole_id = "r"\nsecret_id = "s"\ntoken = "t"', "token"),
        ('method = "ldap"', "method"),
    ],
)
def test_a_login_that_cannot_work_is_named(text: str, problem: str, configured: Write) -> None:
    """What is missing, and what belongs to another method."""
    configured(f"{_VAULT}[vault.auth]\n{text}\n")
    with pytest.raises(ConfigurationError, match=problem):
        vault_settings(load(environment={}))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not configured"),
        ("[store]\n", "type"),
        ('[store]\ntype = "s3"\n', "bucket"),
        ('[store]\ntype = "directory"\n', "directory is not configured"),
        ('[store]\ntype = "directory"\npath = "p"\nbucket = "b"\n', "bucket"),
        ('[store]\ntype = "s3"\npath = "p"\nbucket = "b"\n', "path"),
        ('[store]\nbucket = "b"\nendpoint = "nowhere"\n', "endpoint"),
        ('[store]\nbucket = "b"\naccess_key_id = "a"\n', "secret_access_key"),
    ],
)
def test_a_store_that_cannot_work_is_named(text: str, problem: str, configured: Write) -> None:
    """What is missing, and what belongs to the other type."""
    configured(text)
    with pytest.raises(ConfigurationError, match=problem):
        store_settings(load(environment={}))


def test_a_type_that_no_store_has_is_told_from_those_there_are(configured: Write) -> None:
    """The message names them, the hint what happens without."""
    configured('[store]\ntype = "s4"\nbucket = "b"\n')
    with pytest.raises(ConfigurationError, match='it must be "s3" or "directory"') as caught:
        load(environment={})
    assert "Without it: s3, if there is a bucket." in caught.value.hint


def test_a_stray_variable_of_aws_does_not_disturb_a_directory(configured: Write, alone: Path) -> None:
    """Only what was configured for us must fit the type."""
    configured('[store]\ntype = "directory"\npath = "p"\n')
    settings = store_settings(load(environment={"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "http://x"}))
    assert settings == DirectorySettings(Path("p"))


def test_a_configuration_with_secrets_that_everybody_can_read_is_warned_about(configured: Write) -> None:
    """Once for the file; not for one without secrets, nor when they are in files of their own."""
    path = configured(f'[database]\npassword = "{CANARY}"\n')
    path.chmod(0o644)
    (warning,) = load(environment={}).warnings
    assert "chmod 600" in warning
    assert CANARY not in warning
    path.chmod(0o640)
    assert load(environment={}).warnings == ()
    configured('[database]\npassword_file = "p"\n').chmod(0o644)
    assert load(environment={}).warnings == ()
    configured('[store]\naccess_key_id = "AKIA"\n[vault.auth]\nrole_id = "6f0c"\n').chmod(0o644)
    assert load(environment={}).warnings == ()
