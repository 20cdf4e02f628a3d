"""What SQL names and statements look like, for all who look at a dump: patterns over bytes, one place for each.

What repeats gives nothing back (``*+``) where something may follow: the time that a pattern takes grows as its text.
"""

from __future__ import annotations

import re

#: An identifier, quoted or not, and a name that may have a schema.
IDENTIFIER = rb'(?:"(?:[^"]++|"")++"|[A-Za-z_\x80-\xff][\w$\x80-\xff]*+)'
NAME = IDENTIFIER + rb"(?:\s*+\.\s*+" + IDENTIFIER + rb")?+"

_ROUTINE_WORD = rb"(?:function|procedure|aggregate|routine)"

#: The only COPY that pg_dump writes: rows from the client, in text format, without an option.
COPY = re.compile(
    rb"copy\s++(" + NAME + rb")\s*+(?:\(\s*+" + IDENTIFIER + rb"\s*+(?:,\s*+" + IDENTIFIER + rb"\s*+)*+\)\s*+)?+"
    rb"\bfrom\s++stdin\s*+;\Z",
    re.IGNORECASE,
)
#: The only form in which the meaning of backslashes in literals may change.
STRINGS = re.compile(
    rb"set\s+(?:session\s+|local\s+)?standard_conforming_strings\s*(?:=|\sto\s)\s*('?)(on|off)\1\s*;\Z", re.IGNORECASE
)
#: The only form in which the encoding may change.
ENCODING = re.compile(rb"set\s+client_encoding\s*(?:=|\sto\s)\s*'?(\w+)'?\s*;\Z", re.IGNORECASE)
#: Encodings in which a backslash or a quote can be half of a character.
UNSAFE_ENCODING = re.compile(rb"sjis|shift|big|gbk|uhc|gb18|johab|mskanji|windows9|win9", re.IGNORECASE)
#: What pg_dump writes to leave no name unqualified.
EMPTY_SEARCH_PATH = re.compile(
    rb"select\s+pg_catalog\s*\.\s*set_config\s*\(\s*'search_path'\s*,\s*''\s*,\s*false\s*\)\s*;\Z", re.IGNORECASE
)
#: The content of large objects, which pg_dump writes between a BEGIN and a COMMIT.
LARGE_OBJECT = re.compile(rb"select\s+pg_catalog\.lo(?:_open|write|_close|_create|_put)\(", re.IGNORECASE)
#: The value of a sequence.
SETVAL = re.compile(rb"select\s+pg_catalog\.setval\(", re.IGNORECASE)
#: The only commands of psql that pg_dump writes.
RESTRICT = re.compile(rb"\\(?:un)?restrict\s+\w+\s*\Z")

#: Statements that only take something away; pg_dump writes them before the first that makes something. A view is made
#: an empty one where something else of what is dropped depends on it; it may have no column at all.
CLEANING = re.compile(
    rb"drop\b"
    rb"|select\s+pg_catalog\.lo_unlink\((?:oid\)\s+from\s+pg_catalog\.pg_largeobject_metadata\s+where\s+oid\s*=\s*)?"
    rb"'?\d+'?\)?\s*;\Z"
    rb"|alter\s+(?:foreign\s+table|table|domain)\s+(?:if\s+exists\s+)?(?:only\s+)?" + NAME + rb"\s+"
    rb"(?:drop\b|alter\s+column\s+" + IDENTIFIER + rb"\s+drop\b)"
    rb"|create\s+or\s+replace\s+view\s+" + NAME + rb"\s+as\s+select\s*(?:\bnull::|;\Z)",
    re.IGNORECASE,
)
#: Statements that prepare the session: neither cleaning nor making anything.
PREPARING = re.compile(rb"set\b|select\s+pg_catalog\.set_config\(", re.IGNORECASE)
#: As whom the grants are made that follow: pg_dump writes it for those of another than the owner.
AUTHORIZATION = re.compile(rb"(?:set|reset)\s+session\s+authorization\b", re.IGNORECASE)
#: Statements that bring rows or the content of large objects.
ROWS = re.compile(rb"copy\b|insert\b|select\s+pg_catalog\.(?:setval|lo)", re.IGNORECASE)

DROP_RELATION = re.compile(
    rb"drop\s+(?:table|foreign\s+table|view|materialized\s+view|sequence|index|type|domain)\s+if\s+exists\s+"
    rb"(" + NAME + rb")\s*;\Z",
    re.IGNORECASE,
)
DROP_ROUTINE = re.compile(rb"drop\s+(" + _ROUTINE_WORD + rb")(\s+if\s+exists\s+.*;)\Z", re.IGNORECASE | re.DOTALL)
DROP_DEFAULT = re.compile(rb"alter\s(?=.*?\salter\s+column\s).*\sdrop\s+default\s*;\Z", re.IGNORECASE | re.DOTALL)
CREATE_SUBSCRIPTION = re.compile(rb"create\s+subscription\s+(" + IDENTIFIER + rb")", re.IGNORECASE)

_QUOTED = re.compile(r'"(?:[^"]|"")*"')
#: Where the head of a statement ends that may be shown: before everything that can hold a value.
_HEAD_END = re.compile(
    r"\s*(?:[('$;=]|--|/\*|(?<![\w$])[-+.]?\d|\b(?:as|is|using|values|with|to|from stdin|primary key"
    r"|(?<!create )unique|foreign key|check|exclude)\b)",
    re.IGNORECASE,
)
#: Characters of a statement's head that are shown at most.
_SHOWN = 160


def head(statement: bytes) -> str:
    """What a statement does to which object, for a message: its first words, before anything that can be a value."""
    text = " ".join(statement[: 8 * _SHOWN].decode(errors="replace").split())
    end = _HEAD_END.search(_QUOTED.sub(lambda match: "x" * len(match.group()), text))
    text = text[: end.start()] if end else text
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
