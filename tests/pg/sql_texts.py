"""A grammar of SQL texts, for hypothesis: what is hard to cut, with where it is to be cut and what it does.

``statements`` gives whole statements that are known to the generator: literals of every kind, quoted names, comments,
routines, rules, COPY and settings. Each says which rows it leaves in ``public.log (n integer, t text)``. ``soups``
gives texts that nobody knows: statements of the same kinds with pieces taken out, put in and doubled.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

#: What is made before a text is run.
TABLES = (
    "CREATE TABLE public.log (n integer, t text)",
    "CREATE TABLE public.ruled (n integer)",
    'CREATE TABLE public.odd ("a;b" integer, "c\'" integer, "--" integer, "$$" integer)',
)

_CONTENT = st.text("';\"$\\-/*()aeEbx 1\n\r\t\f:é,", max_size=8)
_BLANK = st.sampled_from([" ", "  ", "\n", "\r\n", "\t", "\f", "\r", " \n "])
_TAGS = ("$$", "$a$", "$_1$", "$é$", "$body$", "$q9$")


@dataclass(frozen=True)
class Statement:
    """``text`` from its first word to its semicolon; ``rows`` of a COPY as they are sent; ``left`` rows in the log."""

    text: str
    left: tuple[tuple[int, str], ...] = ()
    rows: str | None = None


@dataclass
class _Writer:
    """Draws parts of statements; ``backslashes`` says whether they escape in a plain string."""

    draw: st.DrawFn
    backslashes: bool = False
    number: int = 0

    def next(self) -> int:
        self.number += 1
        return self.number

    def one(self, *of: str) -> str:
        return self.draw(st.sampled_from(of))

    def comment(self) -> str:
        content = self.draw(_CONTENT)
        if self.draw(st.booleans()):
            line = re.sub(r"[\n\r]", " ", content)
            return f"--{line}{self.one(chr(10), chr(13), chr(13) + chr(10))}"
        inner = content.replace("/", ";").replace("*", "'")
        return self.one(f"/*{inner}*/", f"/* {inner}/*/ {inner}*/;*/", f"/**{inner}**/", f"/*/ {inner} /**/ */")

    def gap(self) -> str:
        """Blanks or comments between two words."""
        kind = self.draw(st.integers(0, 5))
        if kind < 4:
            return self.draw(_BLANK)
        return self.one("", " ") + self.comment() + self.one("", " ", "\n")

    def quoted(self, content: str) -> str:
        """A plain string."""
        text = content.replace("'", "''")
        return "'" + (text.replace("\\", "\\\\") if self.backslashes else text) + "'"

    def escaped(self, content: str) -> str:
        doubled = content.replace("\\", "\\\\").replace("\n", self.one("\n", "\\n"))
        return self.one("E", "e") + "'" + doubled.replace("'", self.one("''", "\\'")) + "'"

    def dollars(self, content: str) -> str:
        for tag in _TAGS[self.draw(st.integers(0, 3)) :]:
            if (content + tag).find(tag) == len(content):
                return tag + content + tag
        return self.quoted(content)

    def continued(self, one: str, two: str) -> tuple[str, str]:
        """A string in two parts, with a line end between them."""
        between = self.one("\n", " \n\t", "\r\n", "\f\n ", " --c ' ;\n", "\n--$$ ;\n  ", "--'\n--\"\r\n ", "\r")
        begin = self.one("", "E", "N") if not self.backslashes else self.one("", "e")
        doubled = begin in {"E", "e"} or self.backslashes
        first, second = (
            (part.replace("\\", "\\\\") if doubled else part).replace("'", self.one("''", "''")) for part in (one, two)
        )
        # N'…' is of the type character, and loses the blanks at its end on the way to text.
        value = (one + two).rstrip(" ") if begin == "N" else one + two
        return f"{begin}'{first}'{between}'{second}'", value

    def value(self) -> tuple[str, str]:
        """An expression of type text, and its value."""
        content, more = self.draw(_CONTENT), self.draw(_CONTENT)
        bits = self.one("b'01'", "B'0'\n'1'", "x'1F' --';\n", "X'1'\n--'\n 'F'")
        two = self.one("1+--;'\n1", "3-/*;*/1", "4/*'*/-2", "-/**/-2", "2*/*;*/1", "1 + + --\n 1", "- -2", "2 */*;*/1")
        kinds: list[Callable[[], tuple[str, str]]] = [
            lambda: (self.quoted(content), content),
            lambda: (self.escaped(content), content),
            lambda: (self.dollars(content), content),
            lambda: self.continued(content, more),
            lambda: (f"({self.quoted(content)}{self.gap()}||{self.gap()}{self.dollars(more)})", content + more),
            lambda: (f"({bits}::text)", "01" if bits[0] in "bB" else "00011111"),
            lambda: (f"(({two})::text)", "2"),
            lambda: (f"CASE{self.gap()}WHEN 1=1 THEN {self.quoted(content)} ELSE $$;$$ END", content),
        ]
        if not self.backslashes:  # where they escape, PostgreSQL takes none of these
            kinds += [lambda: self.unicode(content)]
        chosen: Callable[[], tuple[str, str]] = self.draw(st.sampled_from(kinds))
        return chosen()

    def unicode(self, content: str) -> tuple[str, str]:
        """A string with Unicode escapes."""
        text = content.replace("'", "''")
        if self.draw(st.booleans()):
            return self.one("U&", "u&") + "'\\003b" + text.replace("\\", "\\\\") + "'", ";" + content
        return f"u&'!003b{text}'{self.gap()}UESCAPE{self.gap()}'!'", ";" + content

    def name(self) -> str:
        """A column's alias."""
        content = self.draw(_CONTENT).replace('"', '""') or ";"
        return self.one(f'"{content}"', "a$b$c", "é$1", "e", "b", "n$$", '"END"', f'"{content}"')

    # Whole statements ---------------------------------------------------------------------------------------------

    def insert(self) -> Statement:
        number, (text, value) = self.next(), self.value()
        gap = self.gap
        table = self.one("public.log", 'public."log"', '"public".log', "public . log") + gap()
        return Statement(
            f"{self.one('INSERT', 'insert')}{gap()}INTO{gap()}{table}VALUES{gap()}({number},{gap()}{text}{gap()});",
            ((number, value),),
        )

    def select(self) -> Statement:
        parts = [
            f"{self.value()[0]}{self.gap()}AS{self.gap()}{self.name()}" for _ in range(self.draw(st.integers(1, 3)))
        ]
        return Statement(f"SELECT{self.gap()}{(',' + self.gap()).join(parts)}{self.one('', ' ')};")

    def atomic(self) -> list[Statement]:
        number, (text, value) = self.next(), self.value()
        gap = self.gap
        makes = self.one("CREATE", "create", "Create") + gap() + self.one("", f"OR{gap()}REPLACE{gap()}")
        extra = self.one(
            "",
            f"SELECT{gap()}CASE{gap()}WHEN{gap()}true THEN CASE 1 WHEN 1 THEN 2 END END;",
            "SELECT 1 AS end, 2 AS case, 3 AS begin;",
            "SELECT 1 END;",
            "SELECT 1 case;",
            "SELECT x.end FROM (SELECT 1 AS end) x;",
            "SELECT begin atomic FROM (SELECT 1 AS begin) x;",
            'SELECT "case;", "END" FROM (SELECT 1, 2) x ("case;", "END");',
            "SELECT atomic end FROM (SELECT 1 AS atomic) x;",
            f'DELETE FROM public.odd WHERE (("a;b") =/*;*/ 1);{gap()}',
        )
        insert = f"INSERT INTO public.log VALUES ({number}, {text});"
        ending = f"{gap()}{self.one('END', 'end')}{self.one('', gap())}"
        word, call = ("FUNCTION", "SELECT") if self.draw(st.booleans()) else ("PROCEDURE", "CALL")
        returns = f"{gap()}RETURNS void" if word == "FUNCTION" else ""
        order = self.one(extra + gap() + insert, insert + gap() + extra, insert)
        extra_end = f"{gap()}SELECT;" if word == "FUNCTION" else ""
        return [
            Statement(
                f"{makes}{word}{gap()}public.f{number}(begin integer DEFAULT 1){returns}{gap()}LANGUAGE sql{gap()}"
                f"BEGIN{gap()}ATOMIC{gap()}{order}{extra_end}{ending};"
            ),
            Statement(f"{call}{gap()}public.f{number}();", ((number, value),)),
        ]

    def routine(self) -> list[Statement]:
        """With its body in a string."""
        number, (text, value) = self.next(), self.value()
        inner = f"INSERT INTO public.log VALUES ({number}, {text}); {self.comment()}\n SELECT 1;"
        if self.draw(st.booleans()):
            inner = f"BEGIN INSERT INTO public.log VALUES ({number}, {text}); RETURN 1; END;"
            language = "plpgsql"
        else:
            language = "sql"
        body = self.one(self.escaped(inner), self.quoted(inner), self.dollars(inner))
        gap = self.gap
        return [
            Statement(
                f"CREATE{gap()}FUNCTION{gap()}public.g{number}(){gap()}RETURNS{gap()}integer{gap()}LANGUAGE {language}"
                f"{gap()}AS{gap()}{body}{self.one('', gap())};"
            ),
            Statement(f"SELECT{gap()}public.g{number}();", ((number, value),)),
        ]

    def rule(self) -> list[Statement]:
        number, other = self.next(), self.next()
        (one, value), (two, second) = self.value(), self.value()
        gap = self.gap
        return [
            Statement(
                f"CREATE{gap()}RULE{gap()}r{number} AS ON INSERT TO public.ruled{gap()}WHERE NEW.n = {number}{gap()}"
                f"DO{gap()}ALSO{gap()}({gap()}INSERT INTO public.log VALUES ({number}, {one});{gap()};"
                f"INSERT INTO public.log VALUES ({other}, {two}){self.one('', ';')}{gap()});"
            ),
            Statement(f"ALTER{gap()}TABLE public.ruled ENABLE ALWAYS RULE r{number};"),
            Statement(f"INSERT INTO public.ruled{gap()}VALUES ({number});", ((number, value), (other, second))),
        ]

    def copy(self) -> Statement:
        left, rows = [], ""
        for _ in range(self.draw(st.integers(0, 3))):
            number = self.next()
            value = self.draw(
                st.one_of(_CONTENT, st.sampled_from(["COPY x FROM stdin;", "\\.", "'", "$$", "/*", "--"]))
            )
            rows += f"{number}\t{_row(value)}\n"
            left.append((number, value))
        gap = self.one(" ", "  ", "\n", "\t")
        columns = self.one("", "(n, t)", ' ("n",t) ', f"({gap}n{gap},{gap}t)")
        text = f"{self.one('COPY', 'copy')}{gap}public.log{columns}{gap}FROM{gap}stdin{self.one('', ' ')};"
        return Statement(text, tuple(left), rows)

    def comment_on(self) -> Statement:
        string = self.one(self.quoted(self.draw(_CONTENT)), self.dollars(self.draw(_CONTENT)))
        if string.startswith("$"):
            string = self.quoted(self.draw(_CONTENT))
        return Statement(f"COMMENT ON{self.gap()}TABLE public.log{self.gap()}IS{self.gap()}{string};")

    def table(self) -> Statement:
        number = self.next()
        default = self.value()[0]
        return Statement(
            f"CREATE{self.gap()}TABLE public.t{number} ({self.gap()}a text DEFAULT {default},{self.gap()}"
            f'"b;{number}"{self.gap()}integer, "c""\'" integer[]);'
        )

    def do(self) -> Statement:
        number, (text, value) = self.next(), self.value()
        body = f"BEGIN INSERT INTO public.log VALUES ({number}, {text}); END"
        return Statement(f"DO{self.gap()}{self.one(self.dollars(body), self.escaped(body))};", ((number, value),))

    def strings(self) -> Statement:
        self.backslashes = self.draw(st.booleans())
        mode = "off" if self.backslashes else "on"
        equals = self.one(" = ", "=", " TO ", "\n to\t")
        before = self.one("SET ", "set\n", "SET SESSION ", "set local ")
        return Statement(f"{before}standard_conforming_strings{equals}{self.one(mode, f'{chr(39)}{mode}{chr(39)}')};")

    def some(self) -> list[Statement]:
        """The next one or more, which belong together."""
        kind = self.draw(st.integers(0, 10))
        if kind in {0, 1}:
            return [self.insert()]
        many = {3: self.atomic, 4: self.routine, 5: self.rule}
        if kind in many:
            return many[kind]()
        single = {2: self.select, 6: self.copy, 7: self.comment_on, 8: self.table, 9: self.do, 10: self.strings}
        return [single[kind]()]


def _row(value: str) -> str:
    """A column's text in a row of COPY."""
    for character, escape in (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        value = value.replace(character, escape)
    return value


@dataclass(frozen=True)
class Text:
    """A whole text, and what it is made of."""

    text: str
    made_of: tuple[Statement, ...]


@st.composite
def texts(draw: st.DrawFn) -> Text:
    """Texts of statements that are known."""
    writer = _Writer(draw)
    made: list[Statement] = []
    for _ in range(draw(st.integers(1, 6))):
        made += writer.some()
    text = ""
    for statement in made:
        text += writer.one("", "\n", ";", "\n;\n", " ", writer.gap(), f"{writer.comment()} ;") + statement.text
        if statement.rows is not None:
            text += f"{writer.one('', ' ', chr(13))}\n{statement.rows}\\.{writer.one('', chr(13))}\n"
    return Text(text + writer.one("", "\n", "-- end", writer.comment()), tuple(made))


#: What is put into texts, between blanks; and what has blanks in it, between bars.
_MARKS = r"""' " $$ $a$ $ -- /* */ \ ; ( ) E' e' U&' U&" b' N' x' '' \' \\ COMMIT; BEGIN ATOMIC END END; CASE $1 1 é a
:: + - * / , . AS 1e 0x1 1_0 1$a$ 1e' 1b' % a$b$ CREATE UESCAPE"""
_BLANKS = (
    "\n|\r|\f|\t|\v| |\n'|'\n'|' --\n'|\n\\.\n|BEGIN ATOMIC|CREATE FUNCTION|COPY public.log FROM stdin;\n|\u00a0|\ufeff"
)
_SETS = ("SET standard_conforming_strings = on;", "SET standard_conforming_strings = off;", "SELECT 1;")
_TOKENS = st.sampled_from([*_MARKS.split(), *_BLANKS.split("|"), *_SETS])
_PIECE = re.compile(r"\w+|\s+|.", re.DOTALL)


@st.composite
def soups(draw: st.DrawFn) -> str:
    """Texts of which nobody knows what they are."""
    text = draw(texts()).text if draw(st.integers(0, 9)) else "SELECT 1;"
    pieces = _PIECE.findall(text)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(pieces)))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            pieces.insert(at, draw(_TOKENS))
        elif kind == 1:
            del pieces[at : at + 1]
        elif kind == 2:
            pieces[at : at + 1] = [draw(_TOKENS)]
        else:
            other = draw(st.integers(0, len(pieces)))
            pieces[at:at] = pieces[min(at, other) : max(at, other)][:6]
    return "".join(pieces)
