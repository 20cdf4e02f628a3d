"""No code of the product looks into a sentence: it decides by an error's class and its fields.

A walk over the syntax of every module follows the texts of errors (``str(error)``, ``error.message``, ``error.hint``,
also through variables and into functions) and names every place that compares, searches or cuts one, or that decides
by the name of a class. What a server or a library says without a code may be searched; such a place is marked
``# text of ORIGIN: REASON`` in its line, in the line above, or above its function. Each origin has one module.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import pytest

PACKAGE = Path(__file__).parents[1]
#: Folders beside the product's own.
OTHERS = {"tests", "benchmarks", "docs", ".venv", "build", "dist"}
#: Attributes that hold a sentence, whosoever; those that do of an exception; and those with the name of a class.
SENTENCES = {"message", "hint", "summary", "reason", "message_primary", "message_detail", "strerror", "body"}
OF_EXCEPTIONS = {"args", "errors", "text", "detail", "msg"}
NAMES = {"__name__", "__qualname__", "__module__"}
#: Methods of a text that look into it. ``split`` does with a separator.
LOOKS = {
    *("startswith", "endswith", "find", "rfind", "index", "rindex", "count", "replace", "translate", "partition"),
    *("rpartition", "removeprefix", "removesuffix", "split", "rsplit"),
}
#: Methods that give the same text in another form.
SAME = {"lower", "upper", "casefold", "strip", "lstrip", "rstrip", "splitlines", "encode", "decode", "format", "join"}
PATTERNS = {"match", "search", "fullmatch", "sub", "subn", "findall", "finditer"}
MARK = re.compile(r"# text of ([\w.-]+): \S.{10,}")

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
BUILT_IN = {name for name, each in vars(builtins).items() if isinstance(each, type) and issubclass(each, BaseException)}


@dataclass
class Module:
    """A module's syntax and lines."""

    name: str
    source: str
    tree: ast.Module = field(init=False)
    functions: dict[str, Function] = field(init=False)
    imported: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.tree = ast.parse(self.source)
        self.functions = {
            each.name: each for each in self.tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        imports = [each for each in ast.walk(self.tree) if isinstance(each, ast.ImportFrom)]
        self.imported = {
            alias.name: (each.module or alias.name).rpartition(".")[2] for each in imports for alias in each.names
        }


#: What gives a name to a value, and all that the search looks at.
ASSIGNING = (ast.Assign, ast.NamedExpr, ast.AugAssign, ast.For, ast.comprehension)
SEEN = (*ASSIGNING, ast.ExceptHandler, ast.Call, ast.Compare, ast.Subscript, ast.Match)


def product() -> list[Module]:
    """Every module of the product."""
    found = [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] not in OTHERS]
    # Programs of their own, whose errors are one line on a terminal.
    found = [path for path in found if path.name != "recover.py"]
    return [Module(str(path.relative_to(PACKAGE)), path.read_text(encoding="utf-8")) for path in found]


class Search:
    """Where some modules look into sentences."""

    def __init__(self, modules: list[Module]) -> None:
        self.modules = modules
        self.errors = _errors(modules)
        #: Of each function, its parameters that are given sentences somewhere.
        self.given: defaultdict[Function, set[str]] = defaultdict(set)
        self.found: dict[tuple[str, int], str] = {}
        self.marks: defaultdict[str, set[str]] = defaultdict(set)
        scopes = [(module, scope, _own(scope)) for module in modules for scope in _scopes(module.tree)]
        while True:
            before = sum(map(len, self.given.values()))
            for module, scope, nodes in scopes:
                _Scope(self, module, scope, nodes).look()
            if sum(map(len, self.given.values())) == before:
                break

    def called(self, module: Module, name: str) -> list[Function]:
        """The functions of the modules that a call by this name may mean: the module's own, or an imported one."""
        if name in module.functions:
            return [module.functions[name]]
        if name not in module.imported:
            return []
        home = module.imported[name]
        return [
            each.functions[name] for each in self.modules if name in each.functions and Path(each.name).stem == home
        ]

    def report(self, module: Module, scope: ast.AST, node: ast.expr | ast.Match, what: str) -> None:
        """Name a place, unless it is marked."""
        lines = module.source.splitlines()
        near = {*range(node.lineno - 1, (node.end_lineno or node.lineno) + 1)}
        if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
            near.add(min([scope.lineno, *(each.lineno for each in scope.decorator_list)]) - 1)
        for number in near:
            if 0 < number <= len(lines) and (mark := MARK.search(lines[number - 1])):
                self.marks[mark[1]].add(module.name)
                return
        self.found[module.name, node.lineno] = what


class _Scope:
    """A function's own statements, or a module's."""

    def __init__(self, search: Search, module: Module, scope: ast.AST, nodes: list[ast.AST]) -> None:
        self.search, self.module, self.scope, self.nodes = search, module, scope, nodes
        self.assigning: list[ast.AST] = [each for each in nodes if isinstance(each, ASSIGNING)]
        self.caught: set[str] = set()
        self.texts: set[str] = set()
        if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
            self.texts |= search.given[scope]
            for each in (*scope.args.posonlyargs, *scope.args.args, *scope.args.kwonlyargs):
                if each.annotation is not None and _named(each.annotation) & search.errors:
                    self.caught.add(each.arg)

    def look(self) -> None:
        """Follow the texts to the end, then name what looks into them, and hand on what is passed to functions."""
        self.caught |= {each.name for each in self.nodes if isinstance(each, ast.ExceptHandler) and each.name}
        while True:
            before = len(self.texts)
            for node in self.assigning:
                self._assign(node)
            if len(self.texts) == before:
                break
        for node in self.nodes:
            if isinstance(node, ast.Call):
                self._pass_on(node)
            if what := self._looks(node):
                assert isinstance(node, ast.expr | ast.Match)
                self.search.report(self.module, self.scope, node, what)

    def _assign(self, node: ast.AST) -> None:
        pairs: list[tuple[ast.expr, ast.expr]] = []
        if isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
        elif isinstance(node, ast.NamedExpr | ast.AugAssign):
            pairs = [(node.target, node.value)]
        elif isinstance(node, ast.For | ast.comprehension):
            pairs = [(node.target, node.iter)]
        for target, value in pairs:
            several = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
            parts = zip(target.elts, value.elts, strict=False) if several else [(target, value)]  # type: ignore[attr-defined]
            for name, text in parts:
                if self.is_text(text):
                    self.texts |= {each.id for each in ast.walk(name) if isinstance(each, ast.Name)}

    def is_text(self, node: ast.expr | None) -> bool:  # noqa: PLR0911 - a case for each kind of expression
        """Whether an expression is a sentence, or a part of one."""
        match node:
            case ast.Name(id=name):
                return name in self.texts
            case ast.Attribute(value=value, attr=attr):
                return attr in SENTENCES or (attr in OF_EXCEPTIONS and self._is_error(value))
            case ast.JoinedStr(values=values):
                return any(isinstance(each, ast.FormattedValue) and self._is_said(each.value) for each in values)
            case ast.Call(func=ast.Name(id="str" | "repr"), args=[value]):
                return self._is_said(value)
            case ast.Call(func=ast.Name() as function, args=args):
                return any(map(self.is_text, args)) and self._gives_text(function)
            case ast.Call(func=ast.Attribute(value=value, attr=attr), args=args):
                return attr in SAME | LOOKS and any(map(self.is_text, (value, *args)))
            case ast.Subscript(value=value):
                return self.is_text(value)
            case ast.BinOp(left=left, right=right):
                return self.is_text(left) or self.is_text(right)
            case ast.BoolOp(values=values):
                return any(map(self.is_text, values))
            case ast.IfExp(body=body, orelse=orelse):
                return self.is_text(body) or self.is_text(orelse)
            case ast.GeneratorExp(elt=elt) | ast.ListComp(elt=elt):
                return self.is_text(elt)
        return False

    def _is_error(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id in self.caught

    def _is_said(self, node: ast.expr) -> bool:
        return self._is_error(node) or self.is_text(node)

    def _gives_text(self, function: ast.Name) -> bool:
        known = self.search.called(self.module, function.id)
        return any(isinstance(each.returns, ast.Name) and each.returns.id in {"str", "bytes"} for each in known)

    def _pass_on(self, call: ast.Call) -> None:
        if not isinstance(call.func, ast.Name):
            return
        for function in self.search.called(self.module, call.func.id):
            parameters = [each.arg for each in (*function.args.posonlyargs, *function.args.args)]
            given = dict(zip(parameters, call.args, strict=False))
            given |= {each.arg: each.value for each in call.keywords if each.arg}
            self.search.given[function] |= {name for name, value in given.items() if self._is_said(value)}

    def _looks(self, node: ast.AST) -> str:  # noqa: PLR0911 - likewise
        """How a place looks into a sentence or a name; empty when it does not."""
        match node:
            case ast.Compare(left=left, ops=ops, comparators=right):
                sides = (left, *right)
                if any(isinstance(each, ast.Constant) and not each.value for each in sides):
                    return ""  # only whether there is any
                if any(isinstance(each, ast.Attribute) and each.attr in NAMES for each in sides):
                    return "decides by a name"
                inside = any(isinstance(op, ast.In | ast.NotIn) for op in ops)
                known = any(map(_is_constant, sides))  # what was said before may be compared with what is said now
                if (inside or known) and any(map(self.is_text, sides)):
                    return "compares a sentence"
            case ast.Subscript(slice=ast.Attribute(attr=attr)) if attr in NAMES:
                return "decides by a name"
            case ast.Call(func=ast.Attribute(value=value, attr=attr), args=args):
                if attr in PATTERNS and any(self.is_text(each) for each in args):
                    return "searches a sentence"
                if attr == "get" and any(isinstance(each, ast.Attribute) and each.attr in NAMES for each in args):
                    return "decides by a name"
                if attr in LOOKS and (args or attr not in {"split", "rsplit"}):
                    if isinstance(value, ast.Attribute) and value.attr in NAMES and attr != "removesuffix":
                        return "decides by a name"
                    if self.is_text(value):
                        return "looks into a sentence"
            case ast.Match(subject=subject) if self.is_text(subject):
                return "compares a sentence"
        return ""


def _errors(modules: list[Module]) -> set[str]:
    """The names of all classes of exceptions: Python's, and what the modules derive from them."""
    bases = {
        node.name: {name for base in node.bases for name in _named(base)}
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
    }
    found = BUILT_IN | {"KleidiaError"}
    while more := {name for name, above in bases.items() if above & found} - found:
        found |= more
    return found


def _is_constant(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant | ast.JoinedStr) or (isinstance(node, ast.Name) and node.id.isupper())


def _named(node: ast.expr) -> set[str]:
    """The names in an annotation or a base, without what they are taken from."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        node = ast.parse(node.value, mode="eval").body
    if isinstance(node, ast.Attribute):
        return {node.attr}
    if isinstance(node, ast.BinOp):
        return _named(node.left) | _named(node.right)
    return {node.id} if isinstance(node, ast.Name) else set()


def _scopes(tree: ast.Module) -> list[ast.AST]:
    return [tree, *(each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))]


def _own(scope: ast.AST) -> list[ast.AST]:
    """What may matter of a scope; what a function inside it sees of its names, it sees there too."""
    if not isinstance(scope, ast.Module):
        return [each for each in ast.walk(scope) if isinstance(each, SEEN)]
    found: list[ast.AST] = []
    waiting = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        if isinstance(node, SEEN):
            found.append(node)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += ast.iter_child_nodes(node)
    return found


@pytest.fixture(scope="module")
def search() -> Search:
    """Of the whole product."""
    return Search(product())


def test_nothing_looks_into_a_sentence(search: Search) -> None:
    """Neither ours nor anybody else's, but in the marked places."""
    assert not [f"{name}:{line} {what}" for (name, line), what in sorted(search.found.items())]


def test_each_origin_of_texts_has_one_module(search: Search) -> None:
    """What a server or a library says is understood in one place, and every mark is needed."""
    assert {origin: where for origin, where in search.marks.items() if len(where) > 1} == {}
    written = {mark for module in search.modules for mark in MARK.findall(module.source)}
    assert written == set(search.marks)


#: What must be found, and how it is called; each stands in a function that is given an error.
FOUND = {
    '"othing was " in str(error)': "compares a sentence",
    '"othing was " in f"{error}"': "compares a sentence",
    '"--undo" not in error.hint': "compares a sentence",
    'error.message == "It broke."': "compares a sentence",
    "error.message == _BROKE": "compares a sentence",
    'error.hint.startswith("Nothing")': "looks into a sentence",
    'error.hint.lower().strip().endswith("undo.")': "looks into a sentence",
    'error.hint.replace("Nothing was changed", "It is as before")': "looks into a sentence",
    'error.args[0].partition(": ")': "looks into a sentence",
    're.search("lost|gone", str(error))': "searches a sentence",
    '_LOST.match(f"{error.message} {error.hint}")': "searches a sentence",
    'str(error).splitlines()[0].split(": ")': "looks into a sentence",
    'any("x" in line for line in str(error).splitlines())': "compares a sentence",
    '(said := str(error)) and "lost" in said': "compares a sentence",
    "helper(error.message)": "looks into a sentence",
    "helper(text=str(error))": "looks into a sentence",
    'type(error).__name__ == "Lost"': "decides by a name",
    'type(error).__name__ in {"Lost"}': "decides by a name",
    "_STATUS[type(error).__name__]": "decides by a name",
    "_STATUS.get(type(error).__name__)": "decides by a name",
    'type(error).__module__.endswith(".errors")': "decides by a name",
}
#: What says a sentence, and what decides by data.
FINE = (
    'f"{error.message} {error.hint}".rstrip()',
    "error.hint or 'Try again.'",
    'error.hint != ""',
    "error.message != said_before",
    'error.effect == "nothing"',
    '"undo" in error.remedies',
    'any(right.verb == "list" for right in error.rights)',
    "print(type(error).__name__, error)",
    '" ".join(str(error).split())',
    '"x" in other(error)',
)


def _planted(expression: str, before: str = "") -> Search:
    source = f"""
def helper(text: str) -> bool:
    return text.endswith("lost.")

def by_parameter(error: Lost) -> object:
    return {expression}

def by_catching() -> object:
    try:
        work()
    except OSError as error:
        {before}
        return {expression}

class Lost(KleidiaError): ...
"""
    return Search([Module("planted.py", source)])


@pytest.mark.parametrize("expression", FOUND)
def test_the_search_finds(expression: str) -> None:
    """In a function that is given the error, and in one that catches it; or in the one to which its text is passed."""
    found = _planted(expression).found
    assert set(found.values()) == {FOUND[expression]}
    lines = {line for _, line in found}
    assert lines == ({3} if expression.startswith("helper") else {6, 13})


@pytest.mark.parametrize("expression", FINE)
def test_the_search_passes(expression: str) -> None:
    """What is no decision by a sentence."""
    assert _planted(expression).found == {}


@pytest.mark.parametrize(
    ("mark", "passes"), [("# text of libfoo: it has no codes at all.", True), ("# text of x:", False)]
)
def test_a_mark_needs_a_reason(mark: str, passes: bool) -> None:
    """It names the origin and says why; then the place beside it passes, and no other."""
    search = _planted('"lost" in str(error)', mark)
    assert {line for _, line in search.found} == ({6} if passes else {6, 13})
    assert dict(search.marks) == ({"libfoo": {"planted.py"}} if passes else {})
