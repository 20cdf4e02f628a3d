"""What a target has from the top level: every key that it does not set, with the exceptions that stand here.

- What names a server brings its own credentials: see ``_SERVERS``.
- Keys that exclude each other, and kinds of stores and logins, replace each other as a whole.
- ``prefix`` of the store and ``secrets_path`` get the target's name behind them; ``system`` is the name.
- A ping is of one system alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..keys import KEYS

Values = dict[tuple[str, str], object]

#: Of a section: the keys by which a target names a server of its own, and whose secrets it does not inherit then.
_SERVERS: dict[str, tuple[frozenset[str], tuple[str, ...]]] = {
    "database": (frozenset({"conninfo", "conninfo_file", "host", "port"}), ("database",)),
    "vault": (frozenset({"address"}), ("vault", "vault.auth")),
    "store": (frozenset({"endpoint", "type"}), ("store",)),
}
#: A key that, when a target sets it, leaves nothing of these of the top level.
_ANEW: dict[tuple[str, str], tuple[str, ...]] = {
    ("store", "type"): ("store",),
    ("vault.auth", "method"): ("vault.auth",),
}
#: What a connection string says itself: a key beside it would override it.
_LIBPQ = frozenset({"conninfo", "host", "port", "name", "user", "password", "passfile", "sslmode", "sslrootcert"})
_PASSWORD = ("password", "password.vault")
_NEVER = {("service", "target"), ("backup", "system"), ("notify", "ping_url"), ("notify", "ping_url_file")}


def inherited(name: str, top: Mapping[tuple[str, str], object], own: Mapping[tuple[str, str], object]) -> Values:
    """The values of the target ``name``: its ``own``, over what it has from the ``top`` level."""
    dropped = _dropped(own)
    groups = {KEYS[each].group for each in own if KEYS[each].group}
    values = {
        each: value
        for each, value in top.items()
        if each not in _NEVER and each not in dropped and KEYS[each].group not in groups
    }
    for each, behind in ((("store", "prefix"), "/"), (("service", "secrets_path"), "")):
        if isinstance(base := values.get(each), str):
            values[each] = f"{base.strip('/')}/{name}{behind}".lstrip("/")
    if ("store", "prefix") not in values and not {
        ("store", "type"),
        ("store", "bucket"),
        ("store", "path"),
    } & own.keys():
        values["store", "prefix"] = f"backups/{name}/"
    values["backup", "system"] = name
    return values | dict(own)


def without_credentials(own: Mapping[tuple[str, str], object], environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without the variables of other tools that hold secrets which the target does not inherit."""
    hidden = {variable for each in _dropped(own) for variable in KEYS[each].standard}
    return {variable: text for variable, text in environment.items() if variable not in hidden}


def _dropped(own: Mapping[tuple[str, str], object]) -> set[tuple[str, str]]:
    sections = {section for section, _ in own}
    dropped: set[tuple[str, str]] = set()
    for section, (names, holders) in _SERVERS.items():
        if any((section, name) in own for name in names):
            dropped |= {each for each in KEYS if each[0] in holders and _is_credential(each)}
    for key, places in _ANEW.items():
        if key in own:
            dropped |= {each for each in KEYS if each[0] in places}
    if {("database", "conninfo"), ("database", "conninfo_file")} & own.keys():
        dropped |= {each for each in KEYS if each[0] == "database" and each[1].removesuffix("_file") in _LIBPQ}
    if sections & {*_PASSWORD}:
        dropped |= {each for each in KEYS if each[0] in _PASSWORD}
    return dropped


def _is_credential(each: tuple[str, str]) -> bool:
    key = KEYS[each]
    return key.secret or key.file or each in {("database", "passfile"), ("store", "access_key_id")}
