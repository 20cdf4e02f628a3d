"""Names in the body of a routine that only a search path finds, read as text: nothing of anybody's is run for it.

A body that is kept as a string is read by the server each time it runs, and a restore runs it with an empty search
path. What is looked for is what would then not be found: functions, tables, types and operators without a schema. A
name that the server has as well, for values of other types, is not distinguished.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# What is not closed goes to the end: nothing is read twice, however a body is written.
_TOKEN = re.compile(
    r"""(?P<skip>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<string>(?:[eE]|[uU]&|\b[bBxXnN])?'(?:[^'\\]|''|\\.)*+(?:'|\Z)
               |\$(?P<tag>[^\W\d]\w*|)\$.*?(?:\$(?P=tag)\$|\Z))
    |(?P<quoted>"(?:[^"]|"")*+(?:"|\Z))
    |(?P<name>[^\W\d][\w$]*)
    |(?P<number>\$?\d[\w.]*)
    |(?P<other>::|:=|\.\.|=>)
    |(?P<operator>[+\-*/<>=~!@\#%^&|`?]+)
    |(?P<mark>.)""",
    re.VERBOSE | re.DOTALL,
)

#: Functions whose first argument, when it is a constant, names something that the search path finds.
_BY_NAME = frozenset({"nextval", "currval", "setval", "to_regclass"})
_BY_TEXT_SEARCH = frozenset(
    {"to_tsvector", "to_tsquery", "plainto_tsquery", "phraseto_tsquery", "websearch_to_tsquery", "ts_headline"}
    | {"ts_lexize", "unaccent"}
)
_CASTS = {"regclass": "relation", "regtype": "type", "regconfig": "text search", "regdictionary": "text search"}
#: SQL has FROM inside the parentheses of these, where it means no table.
_FROM_INSIDE = frozenset({"extract", "substring", "trim", "overlay", "position"})
_CTE = frozenset({"(", "materialized", "not"})
#: SQL inside SQL is looked into so deep.
_DEEPEST = 2


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a body; ``text`` of a name is as the catalog has it, of a string what is between its quotes."""

    kind: str
    text: str


@dataclass
class Names:
    """Names by what they are used for: ``function``, ``relation``, ``type``, ``operator``, ``text search``.

    ``calls`` and ``reads`` are those with a schema. ``careful``: the body sets a search path itself or catches errors.
    """

    bare: set[tuple[str, str]] = field(default_factory=set)
    calls: set[tuple[str, str]] = field(default_factory=set)
    reads: set[tuple[str, str]] = field(default_factory=set)
    careful: bool = False


def names_in(body: str) -> Names:
    """The names that a body of SQL or PL/pgSQL uses; what is only a column or a variable may be among them."""
    reader = _Reader(Names())
    reader.read(body)
    return reader.names


def _tokens(body: str) -> list[Token]:
    found: list[Token] = []
    for match in _TOKEN.finditer(body):
        kind, text = str(match.lastgroup), match.group()
        if kind == "tag" or match.group("string") is not None:
            found.append(Token("string", _inside(text)))
        elif kind == "quoted":
            found.append(Token("quoted", text[1:-1].replace('""', '"')))
        elif kind == "name":
            found.append(Token("name", text.lower()))
        elif kind != "skip":
            found.append(Token(kind, text))
    return found


def _inside(text: str) -> str:
    if text.startswith("$"):
        mark = text.index("$", 1) + 1
        return text[mark:-mark]
    return text[text.index("'") + 1 : -1].replace("''", "'")


_END = Token("end", "")
_WORDS = frozenset({"only", "lateral", "constant"})
_TABLES = frozenset({"from", "join", "only"})
_NO_TABLES = frozenset({"where", "group", "order", "limit", "union", "on", "select", "having", "returning", "loop"})


@dataclass
class _Around:
    """A token with its neighbours: two before, three after."""

    earlier: Token
    before: Token
    token: Token
    after: Token
    later: Token
    last: Token


class _Reader:
    """Walks over a body once. It knows its parentheses, lists of tables and declarations."""

    def __init__(self, names: Names, depth: int = 0) -> None:
        self.names = names
        self._depth = depth
        self._opened = [""]  # for each open parenthesis the word before it
        self._tables = [False]  # and whether a list of tables goes on there
        self._declaring = False
        self._own: set[str] = set()

    def read(self, body: str) -> None:
        tokens = [_END, _END, *_tokens(body), _END, _END, _END]
        pieces = zip(tokens, tokens[1:], tokens[2:], tokens[3:], tokens[4:], strict=False)
        self._own = {a.text for a, b, c, *_ in pieces if _is_name(a) and b.text == "as" and c.text in _CTE}
        if "search_path" in body.lower():
            self.names.careful = True
        for at in range(2, len(tokens) - 3):
            around = _Around(*tokens[at - 2 : at + 4])
            self._structure(around)
            if around.token.kind == "string":
                self._string(around)
            elif around.token.kind == "operator":
                self._operator(around)
            elif _is_name(around.token) and around.before.text != "." and around.token.text not in _WORDS:
                self._name(around)

    def _structure(self, it: _Around) -> None:
        text = it.token.text
        if it.token.kind == "mark":
            if text == "(":
                self._opened.append(it.before.text if it.before.kind == "name" else "")
                self._tables.append(False)
            elif text == ")" and len(self._opened) > 1:
                self._opened.pop()
                self._tables.pop()
            elif text == ";":
                self._tables[-1] = False
        elif it.token.kind == "name":
            if text in ("declare", "begin"):
                self._declaring = text == "declare"
            elif text == "exception" and it.after.text == "when":
                self.names.careful = True
            elif text in _TABLES:
                self._tables[-1] = it.before.text != "distinct" and self._opened[-1] not in _FROM_INSIDE
            elif text in _NO_TABLES:
                self._tables[-1] = False

    def _operator(self, it: _Around) -> None:
        if it.before.text != "." and not (self._declaring and "%" in it.token.text):
            self.names.bare.add(("operator", it.token.text))

    def _name(self, it: _Around) -> None:
        name, add = it.token.text, self.names.bare.add
        table = (self._tables[-1] and it.before.text in ("from", "join", "only", ",")) or (
            it.before.text == "into" and it.earlier.text == "insert"
        )
        if it.after.text == "." and _is_name(it.later):
            if it.last.text == "(":
                self.names.calls.add((name, it.later.text))
            elif table:
                self.names.reads.add((name, it.later.text))
        elif it.before.text == "::" or it.after.kind == "string" or self._opened[-1] + it.before.text == "castas":
            add(("type", name))
        elif it.after.text == "(" and it.before.text != "as" and not (table and it.before.text == "into"):
            add(("function", name))
        elif table and name not in self._own:
            add(("relation", name))
        elif self._declaring:
            self._declared(it)

    def _declared(self, it: _Around) -> None:
        """``name [CONSTANT] type``, where the type may be that of a table."""
        if it.after.text == "%" and it.later.text == "rowtype":
            self.names.bare.add(("relation", it.token.text))
        elif it.before.text == "constant" or (_is_name(it.before) and it.earlier.text in (";", "declare")):
            self.names.bare.add(("type", it.token.text))

    def _string(self, it: _Around) -> None:
        """A constant that names something, or SQL to be executed."""
        text, add = it.token.text, self.names.bare.add
        if "." not in text:
            called = it.earlier.text if it.before.text == "(" else ""
            if it.after.text == "::" and it.later.text in _CASTS:
                add((_CASTS[it.later.text], text.lower()))
            elif called in _BY_NAME:
                add(("relation", text.lower()))
            elif it.after.text == "," and called in _BY_TEXT_SEARCH:
                add(("text search", text.lower()))
        if self._depth < _DEEPEST and (it.before.text == "execute" or it.earlier.text == "format"):
            _Reader(self.names, self._depth + 1).read(text)


def _is_name(token: Token) -> bool:
    return token.kind in ("name", "quoted")
