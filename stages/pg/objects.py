"""Objects of the kinds that have neither rows nor a body, by the statements of pg_dump that make them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..errors import ConfigurationError
from .server.settings import Table

# What repeats gives nothing back (``*+``): the time that a pattern takes grows as its text.
IDENTIFIER = rb'(?:"(?:[^"]++|"")++"|[^\s".;,()]++)'
_MADE = re.compile(
    rb"create\s+(?:or\s+replace\s+|default\s+|trusted\s+|procedural\s+)*+"
    rb"(collation|conversion|statistics|operator(?:\s+(?:class|family))?|language|publication|access\s+method"
    rb"|text\s+search\s+(?:configuration|dictionary|parser|template)|server|foreign\s+data\s+wrapper)\s+"
    rb"(?:if\s+not\s+exists\s+)?+(?:(" + IDENTIFIER + rb")\.)?+(" + IDENTIFIER + rb")",
    re.IGNORECASE,
)
#: These have no name of their own: types, or a role and a server, stand for it.
_NAMELESS = re.compile(
    rb"create\s+(?:(cast)\s+(\(.*?\))\s+with|(transform)\s+(for\s[^(]*+)\("
    rb"|(user\s+mapping)\s+for\s+(" + IDENTIFIER + rb"\s+server\s+" + IDENTIFIER + rb"))",
    re.IGNORECASE | re.DOTALL,
)
_COMPOSITE = re.compile(
    rb"create\s+type\s+(?:(" + IDENTIFIER + rb")\.)?+(" + IDENTIFIER + rb")\s+as\s*+\(", re.IGNORECASE
)
#: The type of a column or an attribute, each on a line, or that of a domain.
_USED = re.compile(
    rb"(?:^\s++" + IDENTIFIER + rb"|\bdomain\s++\S++\s++as)\s++(" + IDENTIFIER + rb"\." + IDENTIFIER + rb")",
    re.IGNORECASE | re.MULTILINE,
)
#: The server's own schemas.
_SYSTEM = re.compile(r"pg_|information_schema\Z")
#: The name that a range type gives to its multirange.
_MULTIRANGE = re.compile(rb"\bmultirange_type_name\s*=\s*([^\s,()]++)", re.IGNORECASE)


def made(statement: bytes) -> tuple[str, Table] | None:
    """Kind and name of what a statement makes: a collation, an operator (any of that name), a cast and so on.

    What belongs to no schema has an empty one; a cast is called ``(integer AS public.c)``, a transform
    ``FOR public.c LANGUAGE plpgsql``, a user mapping ``somebody SERVER srv``.
    """
    if match := _MADE.match(statement):
        kind, schema, name = match.groups()
        return _words(kind), Table(plain(schema or b""), plain(name))
    if match := _COMPOSITE.match(statement):
        return "composite type", Table(*(plain(part or b"") for part in match.groups()))
    if match := _NAMELESS.match(statement):
        kind, name = filter(None, match.groups())
        return _words(kind), Table("", " ".join(name.decode(errors="replace").split()))
    return None


def multirange(statement: bytes) -> Table | None:
    """The type for several ranges that comes with a range type, where the statement names it."""
    match = _MULTIRANGE.search(statement)
    return qualified(match.group(1)) if match else None


def used_types(statement: bytes) -> Iterator[Table]:
    """Types outside of the server's own schemas that a table, a composite type or a domain is made of."""
    for match in _USED.finditer(statement):
        name = qualified(match.group(1).rstrip(b"[]"))
        if name is not None and not _SYSTEM.match(name.schema):
            yield name


def qualified(name: bytes) -> Table | None:
    """A name that may have a schema; None for what is none."""
    try:
        return Table.parse(name.decode())
    except (ConfigurationError, UnicodeDecodeError):
        return None


def plain(name: bytes) -> str:
    """An identifier without its quotes; without them, in lower case."""
    text = name.strip().decode(errors="replace")
    return text[1:-1].replace('""', '"') if text.startswith('"') else text.lower()


def _words(kind: bytes) -> str:
    return " ".join(kind.decode().lower().split())
