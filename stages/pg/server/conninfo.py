"""libpq connection strings: read as their author meant them, or not at all, and never shown.

libpq takes ``postgresql://app:a@b@host/db`` for a host ``b@host``, and ``postgresql://app:a/b@host/db`` for a host
``app``, a port ``a`` and a database ``b@host/db``. Its author has a password with an ``@`` or ``/`` in it. So a
string that another reading fits as well is refused, and a value that is no plausible host, port or name is never shown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from ...errors import ConfigurationError
from ...urls import is_host

_URI = re.compile(r"postgres(?:ql)?://")
_PAIR = re.compile(r"\s*(\w+)\s*=\s*(?:'(?:[^'\\]|\\.)*'|(?:[^\s\\]|\\.)*)", re.DOTALL)

#: A host name, an address, or the directory of a socket (``@`` before it: an abstract one).
_HOST = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9._-]*|[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9._-]+)?|@?/[\w./+~-]*|"
)
_PORT = re.compile(r"[0-9]{1,5}|")
_SECONDS = re.compile(r"-?[0-9]{1,9}|")
#: What may be shown of a database's or a role's name.
_NAME = re.compile(r"[\w.$ -]{1,63}")
_QUOTED = re.compile(r'"([^"]*)"')

#: Parameters that are shown, or say to whom a password goes.
_KNOWN = {"host", "hostaddr", "port", "dbname", "user", "password", "options", "service"}

#: Parameters that ``shown_host`` and its like say whether to show; every other value is shown nowhere.
_SHOWN = {"host", "hostaddr", "port", "dbname", "user", "application_name", "fallback_application_name"}

#: What stands for a text that is not shown.
HIDDEN = "(not shown)"

_HINT = (
    "Write postgresql://user@host:port/database or host=… port=… dbname=… user=…, and the password apart "
    "(PGPASSWORD, a passfile, password or password_file in [database]). Within a URI, %% @ : / ? # are written "
    "%25 %40 %3A %2F %3F %23; in the other form a value with blanks stands in 'single quotes'."
).replace("%%", "%")


def read_conninfo(conninfo: str) -> dict[str, str]:
    """The parameters of a connection string. Raises ``ConfigurationError``, which quotes nothing of it."""
    # Here, for what never speaks to a database (a verification, a listing) starts without libpq.
    from psycopg import Error as PsycopgError
    from psycopg.conninfo import conninfo_to_dict

    if _URI.match(conninfo):
        _check_uri(conninfo)
    try:
        found = {name: str(value) for name, value in conninfo_to_dict(conninfo).items() if value is not None}
    except (PsycopgError, ValueError):  # not UTF-8, or libpq's message, which may quote a piece of the password
        raise _unreadable("cannot be read") from None
    for name, form, what in (
        ("host", _HOST, "the host is no host's name or address"),
        ("hostaddr", _HOST, "hostaddr is no address"),
        ("port", _PORT, "the port is no number"),
    ):
        if not all(form.fullmatch(each) for each in found.get(name, "").split(",")):
            raise _unreadable(f"cannot be used: {what}")
    for host in found.get("host", "").split(","):
        if host and not host.startswith(("/", "@")) and not is_host(host):
            raise _unreadable("cannot be used: the host is none that can be looked up")
    if not _SECONDS.fullmatch(found.get("connect_timeout", "")):
        raise _unreadable("cannot be used: connect_timeout is no whole number of seconds")
    if "://" in found.get("dbname", ""):
        raise _unreadable("cannot be used: the database's name is a whole connection string")
    return found


def write_conninfo(parameters: Mapping[str, str | None]) -> str:
    """A connection string of these parameters; None leaves one out."""
    from psycopg.conninfo import make_conninfo

    return make_conninfo("", **parameters)


def _check_uri(conninfo: str) -> None:
    """Refuse a URI that libpq would cut elsewhere than it is written to be cut."""
    rest = _URI.sub("", conninfo, count=1)
    at, query = rest.find("@"), rest.find("?")
    if 0 <= query < at:
        raise _unreadable("has a ? before an @, so that it could be read in two ways")
    where = rest if query < 0 else rest[:query]
    if where.count("@") > 1:
        raise _unreadable("has more than one @, so that it could be read in two ways")
    slash = where.find("/")
    if 0 <= slash < at:
        raise _unreadable("has a / before an @, so that it could be read in two ways")
    if where.count("/") > 1:
        raise _unreadable("has more than one / behind its host, so that it could be read in two ways")
    login, _, place = where.rpartition("@")
    host, _, database = place.partition("/")
    names = [each.partition("=")[0] for each in rest[query + 1 :].split("&")] if query >= 0 else []
    given = {"user": login, "password": login.partition(":")[2], "host": host, "dbname": database}
    _once([*names, *[name for name, value in given.items() if value]])


def repeated(conninfo: str) -> frozenset[str]:
    """Parameters that a keyword list gives twice. libpq takes the last, which may be a piece of a password."""
    if _URI.match(conninfo):
        return frozenset()
    return frozenset(name for name, times in Counter(_PAIR.findall(conninfo)).items() if times > 1)


def refuse_repeated(conninfo: str) -> None:
    """Raise ``ConfigurationError`` for such a list, where no program has put it together on purpose."""
    _once(_PAIR.findall(conninfo) if repeated(conninfo) else [])


def _once(names: list[str]) -> None:
    for name, times in Counter(names).items():
        if times > 1 and name in _KNOWN:
            raise _unreadable(f"has {name} twice")


def _unreadable(why: str) -> ConfigurationError:
    return ConfigurationError(f"The PostgreSQL connection string {why}.", hint=_HINT)


def shown_host(host: str) -> str:
    """A host, or several, for messages; ``HIDDEN`` for what is none."""
    return host if all(_HOST.fullmatch(each) for each in host.split(",")) else HIDDEN


def shown_port(port: str) -> str:
    """As ``host``, for a port."""
    return port if all(_PORT.fullmatch(each) for each in port.split(",")) else HIDDEN


def shown_name(name: str) -> str:
    """As ``host``, for the name of a database or a role."""
    return name if _NAME.fullmatch(name) else HIDDEN


def without_values(text: str, names: Iterable[str], options: str, others: Iterable[str] = ()) -> str:
    """A message about a connection, without ``names`` that are none, the values of ``options``, and ``others``.

    The latter, and what stands between commas in them, libpq quotes as it complains of them, beside the parameter's
    name. A path may be shown, and what is a name at the same time.
    """
    names = set(names)
    hidden = {piece for value in others for piece in (value, *value.split(","), *value.lower().split(","))}
    for piece in sorted(hidden - names, key=len, reverse=True):
        if piece.strip() and not piece.startswith(("/", "~/")):
            text = text.replace(f'"{piece}"', f'"{HIDDEN}"')
    for each in names:
        if each and _quoted(each) == HIDDEN:
            text = text.replace(each, HIDDEN)
    for each in options.split():
        value = each.partition("=")[2] if "=" in each else each.lstrip("-")
        if len(value) > 2:
            text = text.replace(value, HIDDEN)
    return _QUOTED.sub(lambda match: f'"{_quoted(match.group(1))}"', text)


def unshown(parameters: Mapping[str, str], environment: Mapping[str, str]) -> list[str]:
    """The values that no message shows, of a connection string and of libpq's own variables."""
    variables = {f"PG{name}".upper() for name in _SHOWN} | {"PGDATABASE", "PGAPPNAME"}
    said = [value for name, value in parameters.items() if name not in _SHOWN]
    return said + [value for name, value in environment.items() if name.startswith("PG") and name not in variables]


def _quoted(text: str) -> str:
    return text if _NAME.fullmatch(text) or _HOST.fullmatch(text) else HIDDEN
