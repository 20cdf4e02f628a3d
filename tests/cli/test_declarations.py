"""No text about a setting disagrees with what it does: a walk over all that are declared."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from kleidia_backup.config.copies.read import copy_keys
from kleidia_backup.config.drills.settings import DrillSettings
from kleidia_backup.config.example import example
from kleidia_backup.config.keys import DECLARED, KEYS, Key
from kleidia_backup.config.login.settings import LoginSettings
from kleidia_backup.config.notifying.settings import NotifySettings
from kleidia_backup.config.password import PasswordPlace
from kleidia_backup.config.reader import FILE_VARIABLE, PASSWORD_VARIABLE, load
from kleidia_backup.config.retention.settings import RetentionSettings
from kleidia_backup.config.sections import SECTIONS, KeySettings, Libpq, LoginKind, PasswordSource, StoreKind
from kleidia_backup.config.service import SHORTEST_TOKEN, JobSettings, ScheduleSettings, ServiceSettings
from kleidia_backup.config.targets.settings import ReplicaSettings
from kleidia_backup.pipeline.parts.passwords import SHORTEST
from kleidia_backup.service.api.bodies.setting_models import S3Candidate, SettingsChange, SettingsView
from kleidia_backup.service.control.backup_settings import BUCKET, SECRETS, STORED, BackupSettings, changed
from kleidia_backup.stages.errors import ConfigurationError
from kleidia_backup.stages.pg.server.settings import PostgresSettings
from kleidia_backup.stages.setting import Setting, declared
from kleidia_backup.stages.stores.directory.store import DirectorySettings
from kleidia_backup.stages.stores.s3.settings import S3Settings
from kleidia_backup.stages.vault.kv.settings import (
    METHODS,
    AppRoleAuth,
    KubernetesAuth,
    Root,
    TokenAuth,
    UserpassAuth,
    VaultSettings,
)

ROOT = Path(__file__).parents[2]
CANARY = "canary-5b1e"
_POSTGRES = PostgresSettings("dbname=x")
_VAULT = VaultSettings("http://vault:8200", TokenAuth("t"), (Root("", "secret"),))
#: One of each class that declares settings, with as little as it can have.
LEAST: dict[type, Any] = {
    type(each): each
    for each in (
        Libpq(),
        _POSTGRES,
        _VAULT,
        LoginKind(),
        TokenAuth("t"),
        AppRoleAuth("r", "s"),
        KubernetesAuth("r"),
        UserpassAuth("u", "p"),
        StoreKind(),
        DirectorySettings(Path()),
        S3Settings("b", access_key_id="a", secret_access_key="s"),
        JobSettings(),
        DrillSettings(),
        NotifySettings(),
        LoginSettings(issuer="https://login.example.org", client_id="c"),
        PasswordSource(),
        RetentionSettings(),
        KeySettings(),
        PasswordPlace("m", "p", "f"),
        ServiceSettings(control=_POSTGRES, vault=_VAULT, secrets_mount="m", secrets_path="p", target="t"),
        ReplicaSettings(),
        ScheduleSettings(),
    )
}
#: Every setting that can be configured, with its class; not the files of secrets, which are no fields.
SETTINGS = [
    pytest.param(owner, key, id=f"{owner.__name__}.{key.of.field}")
    for owner, keys in DECLARED.items()
    for key in keys
    if not key.file
]
every_setting = pytest.mark.parametrize(("owner", "key"), SETTINGS)
NUMBERS = [each for each in SETTINGS if each.values[1].kind in {"integer", "seconds", "size"}]  # type: ignore[union-attr]
every_number = pytest.mark.parametrize(("owner", "key"), NUMBERS)


#: Keys whose printed example is a table of its own.
_TABLES = {
    "roots": '[{mount = "secret", path = "kleidia"}]',
    "grants": '[{of = "ops", role = "operator", targets = ["*"]}]',
    "checks": '[{name = "users", sql = "SELECT 1", expect = "1"}]',
}


def _example(key: Key) -> Any:
    """The example as the file would say it."""
    return tomllib.loads(f"it = {key.example or _TABLES[key.kind]}")["it"]


def _variable(value: Any) -> str:
    """A value as an environment variable says it."""
    if isinstance(value, list):
        return json.dumps(value) if isinstance(value[0], dict) else ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read(owner: type, key: Key, text: str) -> Any:
    """What a variable's text makes of a class's field."""
    return load(environment={key.variable: text}).of(owner)[key.of.field]


def _with(owner: type, key: Key, value: Any) -> Any:
    """The class with that value."""
    if key.kind == "roots":
        value = tuple(Root(**{"prefix": "", **each}) for each in value)
    if key.of.field == "control":
        value = PostgresSettings(value)
    if owner is S3Settings and isinstance(value, Path):
        value = str(value)
    return replace(LEAST[owner], **{key.of.field: value})


def _product() -> Iterator[str]:
    for path in ROOT.rglob("*.py"):
        if path.relative_to(ROOT).parts[0] not in {"tests", "benchmarks", ".venv", "docs", "build"}:
            yield path.read_text(encoding="utf-8")


def test_every_class_is_walked() -> None:
    """The classes of all sections, and every field of theirs that is no object of its own says what it is."""
    assert LEAST.keys() == DECLARED.keys() == {each for section in SECTIONS.values() for each in section.classes}
    objects = {
        "conninfo",
        "_parameters",
        "auth",
        "own",
        "vault",
        "database",
        "store",
        "password",
        "keys",
        "labels",
        "schedule",
        "drill",
        "intervals",
        "login",
        "notify",
        "copies",
        "retention",
        "as_of",
        "tells_why",
    }
    for owner in (*LEAST, BackupSettings):
        said = {each.field for each in declared(owner)}
        assert {each.name for each in fields(owner)} - said <= objects, owner


@every_setting
def test_the_documented_default_is_what_counts_when_it_is_left_out(owner: type, key: Key) -> None:
    """The example without a default of its own, or the words behind it, are the class's default."""
    (field,) = (each for each in fields(owner) if each.name == key.of.field)
    default = None if field.default is dataclasses.MISSING else field.default
    assert default == key.of.default
    if default in {None, "", ()}:
        assert key.of.setting.example is not None or key.secret or key.kind in {"roots", "checks", "grants"}
        return
    assert getattr(LEAST[owner], key.of.field) == default
    text = _variable(_example(key))
    if key.of.setting.example is not None:
        text = _variable(tomllib.loads("it = " + key.doc.rpartition(" Without it: ")[2].removesuffix("."))["it"])
    found = _read(owner, key, text)
    assert found == default
    assert type(found) is type(default) or isinstance(default, Path)


@every_setting
def test_the_example_is_accepted_by_file_and_variable_and_class(
    owner: type, key: Key, configured: Callable[[str], Path]
) -> None:
    """What is printed can be set: by the file, by the variable beside it, and the class takes it."""
    assert re.search(
        rf"^#?{key.name} = .* {key.variable}\b|^#?\[\[{key.section}\.{key.name}\]\]", example(), re.MULTILINE
    )
    value = _read(owner, key, _variable(_example(key)))
    literal = key.example or _TABLES[key.kind]
    configured(f"[{key.section}]\n{key.name} = {literal}\n")
    config = load(environment={})
    assert config.of(owner)[key.of.field] == value
    made = getattr(_with(owner, key, value), key.of.field)
    assert made == value or made == str(value) or key.kind == "roots" or key.of.field == "control"


@every_number
def test_the_limits_that_are_said_are_those_that_are_enforced(owner: type, key: Key) -> None:
    """Just within is taken and just outside refused, by section and key, with the limits; by the classes too."""
    setting = key.of.setting
    outside = [] if setting.least is None else [setting.least - 1]
    outside += [] if setting.most is None else [setting.most + 1]
    outside += [0, -1] if key.kind != "integer" and setting.least is None else []
    for limit in (setting.least, setting.most):
        if limit is not None:
            assert f"{limit}" in key.doc
            assert _with(owner, key, _read(owner, key, f"{limit}"))
    for number in outside:
        with pytest.raises(ConfigurationError) as caught:
            _read(owner, key, f"{number}")
        assert key.name in caught.value.message.lower()
        assert key.section.replace(".", "_") in caught.value.message.lower().replace(".", "_")
        assert key.of.limits in caught.value.message
        if owner in {PostgresSettings, VaultSettings, S3Settings}:
            with pytest.raises(ConfigurationError, match=key.of.field) as caught:
                _with(owner, key, number)
            assert key.of.limits in caught.value.hint


@every_number
def test_the_units_are_those_of_the_head_of_the_example(owner: type, key: Key) -> None:
    """A time is a number of seconds or a text with a unit, a size bytes or a text with one; a count has none."""
    texts = {"seconds": {"90": 90, "90s": 90, "2m": 120}, "size": {"6291456": 6 << 20, "6MiB": 6 << 20}}
    for text, value in texts.get(key.kind, {}).items():
        assert _read(owner, key, text) == value
    if key.kind == "integer":
        with pytest.raises(ConfigurationError, match="a whole number"):
            _read(owner, key, "90s")
    assert not re.search(r"\bseconds (for|to|in|without)\b", key.doc, re.IGNORECASE)
    assert key.kind != "seconds" or re.match("Longest|Time|How long", key.doc)


@every_setting
def test_a_text_of_choices_names_each(owner: type, key: Key) -> None:
    """And only those are taken; half of a login says of which method it is."""
    for choice in key.choices:
        assert choice in key.doc
        assert _read(owner, key, choice) == choice
    if key.choices:
        with pytest.raises(ConfigurationError, match=" or ".join(f'"{each}"' for each in key.choices)):
            _read(owner, key, "other")
    if owner in METHODS.values() and key.name != "mount":
        method = next(name for name, each in METHODS.items() if each is owner)
        assert key.doc.startswith(f"method {method}: ")


@every_setting
def test_a_secret_is_never_shown(owner: type, key: Key, tmp_path: Path) -> None:
    """Not by the configuration, nor by what is made of it; and it can be in a file."""
    forms = {"conninfo": f"password={CANARY}", "url": f"https://{CANARY}"}
    value = forms.get(key.name.rpartition("_")[2], CANARY)
    if not key.of.setting.secret:
        assert not re.search("password|secret|token", key.name) or key.kind != "text" or "_" in key.name, key.where
        return
    assert key.in_file
    (tmp_path / "secret").write_text(value, encoding="utf-8")
    file = KEYS[key.section, f"{key.name}_file"]
    for environment in ({key.variable: value}, {file.variable: str(tmp_path / "secret")}):
        config = load(environment=environment)
        assert config.of(owner)[key.of.field] == value
        assert CANARY not in repr(config) + repr(_with(owner, key, value))


@every_setting
def test_every_setting_is_used(owner: type, key: Key) -> None:
    """Something reads it: ours by its name, or libpq by its own."""
    if owner is Libpq:
        known = {each.keyword.decode() for each in psycopg.pq.Conninfo.get_defaults()}
        assert key.of.field in known | {"conninfo"}
    else:
        assert any(re.search(rf"\.{key.of.field}\b", text) for text in _product())


def test_what_only_programs_set_says_so_too() -> None:
    """It is no key, and its limits hold."""
    for owner in (VaultSettings, S3Settings):
        for each in declared(owner):
            if not each.setting.configured:
                assert each.field not in {key.of.field for key in DECLARED[owner]}
                with pytest.raises(ConfigurationError, match=each.field):
                    replace(LEAST[owner], **{each.field: 0})


def test_the_smallest_part_is_the_stores() -> None:
    """The text about part_size names what S3 takes at least."""
    assert f"{S3Settings('b').smallest_part >> 20} MiB" in KEYS["backup", "part_size"].doc


# The service's settings -----------------------------------------------------------------------------------------------

SERVICE = [pytest.param(each, id=each.field) for each in (*STORED.values(), *SECRETS.values())]


@pytest.mark.parametrize("each", SERVICE)
def test_a_setting_of_the_service_is_what_the_api_says(each: Any) -> None:
    """Text, example, limits and secrecy of the API's models are those of the declaration, and are enforced."""
    setting: Setting = each.setting
    document = SettingsChange.model_json_schema()["properties"][each.field]
    assert document["description"].startswith(setting.doc)
    view = SettingsView.model_json_schema()["properties"]
    if setting.secret:
        assert each.field not in view
        assert document["anyOf"][0]["writeOnly"]
    else:
        assert view[each.field]["description"] == setting.doc
    before = BackupSettings(bucket="bucket", access_key_id="AKIA1")
    shown = next(iter(document.get("examples", [True])))
    if shown is not None:
        changed(before, {each.field: shown, "secret_access_key": "s"})
    assert (document.get("examples", [None])[0] is None) == (setting.secret or each.kind == "boolean")
    if each.kind == "integer":
        limits = document["anyOf"][0]
        assert (limits["minimum"], limits["maximum"]) == (setting.least, setting.most)
        assert setting.least is not None
        assert setting.most is not None
        for good in (setting.least, setting.most):
            changed(before, {each.field: good})
        for bad in (setting.least - 1, setting.most + 1):
            with pytest.raises(ConfigurationError) as caught:
                changed(before, {each.field: bad})
            assert each.limits in caught.value.hint
    with pytest.raises(ConfigurationError, match=each.field) as caught:
        changed(before, {each.field: object()})
    assert setting.must in caught.value.hint


def test_what_the_store_and_the_service_share_is_declared_once() -> None:
    """A field of the bucket is the same declaration in [store], in the settings and in a candidate."""
    of_store = {each.field: each.setting for each in declared(S3Settings)}
    for name in (*BUCKET, "secret_access_key"):
        assert (STORED | SECRETS)[name].setting == of_store[name]
    for owner in (S3Settings, BackupSettings):
        assert not owner.__annotations__.keys() & (set(BUCKET) - {"prefix"})  # whose default differs
    assert S3Candidate.model_fields.keys() == {*BUCKET, "secret_access_key"}
    assert SettingsChange.model_fields.keys() == {*STORED, *SECRETS, "version"}
    for name in ("include_audit_logs", "format"):
        assert STORED[name].setting == KEYS["backup", name].of.setting
    assert is_dataclass(BackupSettings)


# The documents --------------------------------------------------------------------------------------------------------

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "deploy").rglob("*.*"))]


@pytest.mark.parametrize("path", [pytest.param(each, id=each.name) for each in DOCUMENTS])
def test_the_documents_name_keys_that_exist(path: Path) -> None:
    """Variables, keys in blocks of TOML, and the defaults that stand in brackets behind a key's name."""
    text = path.read_text(encoding="utf-8")
    known = {key.variable for key in KEYS.values()} | {FILE_VARIABLE, PASSWORD_VARIABLE}
    known |= {variable for key in KEYS.values() for variable in key.standard}
    assert set(re.findall(r"\bKLEIDIA_(?!TEST_)[A-Z_]+[A-Z]\b", text)) <= known
    for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL):
        tables = tomllib.loads(block)
        of_targets = [each for target in tables.pop("targets", {}).values() for each in target.items()]
        for section, table in (*tables.items(), *of_targets):
            if section == "labels":
                continue
            if section == "copies":
                assert {name for each in table for name in each} <= copy_keys().keys()
                continue
            assert section in SECTIONS
            for name in table:
                assert (section, name) in KEYS or f"{section}.{name}" in SECTIONS
    for characters in re.findall(r"at least (\d+) characters", text):
        assert int(characters) in {SHORTEST, SHORTEST_TOKEN}
    for name, value in re.findall(r"`(\w+)` \((\d+)(?: s)?\)", text):
        assert {key.of.default for key in KEYS.values() if key.name == name} == {int(value)}


def test_the_table_of_the_services_settings_is_right() -> None:
    """docs/service.md: every setting that can be changed, with its default."""
    text = (ROOT / "docs/service.md").read_text(encoding="utf-8")
    table = text.partition("| setting | default | |")[2].partition("\n\n")[0]
    found: dict[str, str] = {}
    for row in table.strip().splitlines()[1:]:
        names, defaults, _ = (cell.strip() for cell in row.strip("|").split("|"))
        said = defaults.split(", ") if "as in" not in defaults else []
        for number, name in enumerate(re.findall(r"`(\w+)`", names)):
            found[name] = said[number].strip("`") if said else ""
    assert found.keys() == {*STORED, *SECRETS}
    for name, said_of_it in found.items():
        assert said_of_it in {"", _variable(getattr(BackupSettings(), name, ""))}
