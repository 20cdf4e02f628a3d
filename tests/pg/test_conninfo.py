"""Connection strings that are not read as their author meant them: refused, and never shown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from kleidia_backup.stages.errors import ConfigurationError, KleidiaError
from kleidia_backup.stages.pg.server.connect import login_error, open_connection
from kleidia_backup.stages.pg.server.conninfo import refuse_repeated
from kleidia_backup.stages.pg.server.settings import PostgresSettings

#: What a password is made of here: pieces that are looked for, and characters that mean something somewhere.
PIECES = ["canary1x", "canary2y", "canary3z"]
SIGNS = [
    "@",
    "/",
    "#",
    "?",
    "%",
    ":",
    "&",
    "=",
    "+",
    ",",
    ";",
    "[",
    "]",
    " ",
    "\\",
    "'",
    '"',
    "@@",
    "//",
    "://",
    "%2",
    "\t",
]
passwords = st.lists(st.sampled_from(SIGNS), min_size=1, max_size=2).map(
    lambda signs: "".join(piece + sign for piece, sign in zip(PIECES, [*signs, "", ""], strict=False))
)
#: Strings as people write them, with a password that is not escaped.
FORMS = [
    "postgresql://app:{}@db.example/shop",
    "postgres://app:{}@db.example:5432/shop?sslmode=require",
    "postgresql://:{}@db.example/shop",
    "postgresql://app:{}@/shop?host=/run/postgresql",
    "postgresql://app:{}@one.example:5432,two.example:5433/shop",
    "postgresql://app@db.example/shop?password={}",
    "postgresql://db.example/shop?user=app&password={}&sslmode=require",
    "host=db.example user=app password={} dbname=shop",
    "password={} host=db.example user=app dbname=shop",
    "host=db.example user=app dbname=shop password={}",
    "host=db.example user=app password='{}' dbname=shop",
    "dbname=postgresql://app:{}@db.example/shop",
    "host=app:{}@db.example dbname=shop",
    "host=db.example user=app:{} dbname=shop",
    "host=db.example user=app dbname=shop options=-cmy.key={}",
    "host=db.example user=app dbname=shop options='-c my.key={}'",
    "jdbc:postgresql://app:{}@db.example/shop",
    "{}",
]
#: What libpq, pg_dump and servers say, with whatever they quote.
SAID = (
    'connection to server at "{host}", port {port} failed: FATAL:  password authentication failed for user "{user}"',
    'could not translate host name "{host}" to address: Name or service not known',
    'connection failed: connection to server at "{host}" failed: FATAL:  database "{dbname}" does not exist',
    'connection failed: FATAL:  role "{user}" does not exist',
    'connection failed: FATAL:  invalid value for parameter "my.key": "{options}"',
    "connection failed: FATAL:  invalid command-line argument for server process: {option}",
)


def everything(conninfo: str, **more: Any) -> str:
    """All that is ever said of a connection string."""
    try:
        database = PostgresSettings(conninfo, **more)
    except KleidiaError as exc:
        return f"{exc}{exc.hint}{exc.__cause__!r}"
    found = database._parameters
    values = {name: found.get(name, "") for name in ("host", "port", "user", "dbname", "options")}
    values["option"] = (values["options"].split() or [""])[-1]
    errors = [login_error(database, text.format(**values)) for text in SAID]
    arguments = str(conninfo_to_dict(database.public_conninfo()) | {"user": ""})  # pg_dump must be told the role
    return "".join([database.where(), repr(database), arguments, *(f"{each}{each.hint}" for each in errors)])


@settings(max_examples=1000, deadline=None)
@given(st.sampled_from(FORMS), passwords)
def test_no_piece_of_a_password_is_ever_shown(form: str, password: str) -> None:
    """Wherever libpq cuts it: in errors, the repr, arguments of programs, and what servers quote."""
    said = everything(form.format(password))
    assert not [piece for piece in PIECES if piece in said], (form, password, said)


@pytest.mark.parametrize(
    "conninfo",
    [
        "postgresql://app:aa@tail@host/db",
        "postgresql://us@er:pw@host/db",
        "postgresql://app:pa/ss@host/db",
        "postgresql://app:12/ss@host/db",
        "postgresql://app:p?ss@host/db",
        "postgresql://app:pw@host/db/more",
        "postgresql://host?password=a@b",
        "postgresql://host/db?password=a&host=tail",
        "postgresql://app:a@host/db?user=tail",
        "postgresql://host/db?password=a&password=tail",
        "postgresql://app:%@host/db",
        "postgresql://app:a@host:port/db",
        "host=db:5432 dbname=x",
        "host=https://db dbname=x",
        "host=db port=54x",
        "dbname=postgres://a:b@c/d",
        "host='a b'",
        "password=a b host=c",
        f"host={'a' * 64}.example",
        f"postgresql://db.example,{'a' * 64}/shop",
        "host=a..b",
        "host=db connect_timeout=tail",
        "postgresql://db/shop?connect_timeout=1.5",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(conninfo: str) -> None:
    """One line that says what is wrong, and how it is written instead; nothing of it is repeated."""
    with pytest.raises(ConfigurationError, match=r"^The PostgreSQL connection string ") as caught:
        PostgresSettings(conninfo)
    assert "%40" in caught.value.hint
    assert caught.value.__cause__ is None
    for piece in ("tail", "pa", "ss@", "a@b"):
        assert piece not in caught.value.message.replace("password", "").replace("has ", "")


@pytest.mark.parametrize(
    ("conninfo", "where"),
    [
        ("postgresql://app:a%40b%2Fc%3F@db.example/shop", "database shop at db.example:5432"),
        ("postgresql://app:a#b:c@db.example:6/shop?sslmode=require", "database shop at db.example:6"),
        ("postgresql://us%40er:pw@db/shop", "database shop at db:5432"),
        ("postgresql:///shop?host=/var/run/postgresql&user=app", "database shop at /var/run/postgresql:5432"),
        ("postgresql://%2Frun%2Fpg/shop", "database shop at /run/pg:5432"),
        ("postgresql://[2001:db8::1]:5433/shop", "database shop at 2001:db8::1:5433"),
        ("postgresql://a,b:2,c/shop", "database shop at a,b,c:,2,"),
        ("postgresql://app@db/shop?password=p@ss/w", "database shop at db:5432"),
        ("postgresql://", "PostgreSQL at localhost:5432"),
        ("host=db_1.local. dbname='my shop' password='a b'", "database my shop at db_1.local.:5432"),
        (r"host=db user=app password=a\ b\'c dbname=shop", "database shop at db:5432"),
        ("host=@/abstract dbname=shop", "database shop at @/abstract:5432"),
        ("host=db dbname='ver=y @odd'", "PostgreSQL at db:5432"),
        ("host=db user=app", "database app at db:5432"),
        ("hostaddr=192.0.2.7 dbname=shop", "database shop at 192.0.2.7:5432"),
        (f"host={'a' * 63}.example. connect_timeout=-1", f"PostgreSQL at {'a' * 63}.example.:5432"),
        ("service=shop", "PostgreSQL at localhost:5432"),
        ("", "PostgreSQL at localhost:5432"),
    ],
)
def test_what_is_written_rightly_is_taken(conninfo: str, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the place for messages, as far as it can be shown."""
    for name in ("PGHOST", "PGPORT", "PGDATABASE", "PGHOSTADDR"):
        monkeypatch.delenv(name, raising=False)
    assert PostgresSettings(conninfo).where() == where


def test_a_parameter_that_is_given_twice() -> None:
    """A program may add one, and libpq takes the last; it is not shown, and a configuration may not have it."""
    settings = PostgresSettings("host=db dbname=shop password=a host=tail port=1 port=2")
    assert settings.where() == "database shop at (not shown):(not shown)"
    said = 'connection failed: could not translate host name "tail" to address'
    assert "tail" not in str(login_error(settings, said))
    with pytest.raises(ConfigurationError, match="has host twice"):
        refuse_repeated("host=db password=a host=tail")
    refuse_repeated("host=db password='a host=tail'")
    refuse_repeated("postgresql://a:b@c/d")


OPTIONS = ["target_session_attrs", "gssencmode", "channel_binding", "service", "keepalives", "load_balance_hosts"]
OPTIONS += ["require_auth", "sslrootcert", "ssl_min_protocol_version", "tcp_user_timeout"]


@pytest.mark.parametrize("option", [*OPTIONS, "PGSERVICE", "PGSSLROOTCERT", "PGREQUIREAUTH", "PGTARGETSESSIONATTRS"])
def test_what_libpq_says_of_a_value(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the option, and repeats the value, which may be a piece of a password: that is left out."""
    conninfo = "host=127.0.0.1 port=1 sslmode=verify-full"
    if option.isupper():
        monkeypatch.setenv(option, "canary1x")
    else:
        conninfo += f" {option}=canary1x"
    with pytest.raises(KleidiaError) as caught:
        open_connection(PostgresSettings(conninfo))
    assert "canary1x" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("said", ['invalid require_auth method: "{}"', 'invalid "{}" and no "{}"'])
def test_a_piece_of_a_value_is_not_shown_either(said: str) -> None:
    """What stands between commas. A name that is also a value is a name; so is a path."""
    settings = PostgresSettings("host=db.example user=app require_auth=md5,canary1x,app sslrootcert=/etc/db.pem")
    assert "canary1x" not in settings.shown(said.replace("{}", "canary1x"))
    assert '"app"' in settings.shown('role "app" does not exist')
    assert '"/etc/db.pem"' in settings.shown('root certificate file "/etc/db.pem" does not exist')


def test_variables_of_libpq_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are looked at only when a connection is tried."""
    monkeypatch.setenv("PGHOST", f"{'a' * 64}.example")
    with pytest.raises(ConfigurationError, match="cannot be tried") as caught:
        open_connection(PostgresSettings("dbname=shop"))
    assert "PGHOST" in caught.value.hint


def test_two_databases_are_never_the_same() -> None:
    """Also when their names are not shown: a restore that ended in the middle asks the one that it went to."""
    plain = PostgresSettings("host=db dbname=shop")
    assert plain.identity() == plain.where()
    odd = [PostgresSettings(f"host=db dbname='{name}'").identity() for name in ("a@b", "a@c")]
    assert len(set(odd)) == 2
    assert not [each for each in odd if "@" in each]


def test_variables_of_libpq_are_not_shown_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole connection string in PGHOST or PGDATABASE, a port that is none, options with a secret."""
    for name in ("PGHOST", "PGPORT", "PGDATABASE"):
        monkeypatch.setenv(name, "postgresql://app:canary@db/shop")
    monkeypatch.setenv("PGOPTIONS", "-c my.key=canary")
    said = everything("")
    assert "canary" not in said
    database = PostgresSettings("")
    said = 'connection failed: FATAL:  invalid value for parameter "my.key": "canary"'
    assert login_error(database, said).message.endswith('invalid value for parameter "my.key": "(not shown)".')


def test_options_are_on_no_command_line() -> None:
    """pg_dump gets them as it gets the password: in its environment."""
    database = PostgresSettings("dbname=shop options='-c my.key=canary'")
    assert "canary" not in database.public_conninfo()
    assert database.environment()["PGOPTIONS"] == "-c my.key=canary"
    assert "canary" in database.full_conninfo()
