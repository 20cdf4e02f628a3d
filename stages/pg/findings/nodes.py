"""Stored expressions as PostgreSQL keeps them (``pg_node_tree``), and the operators in them that SQL cannot name.

SQL writes an operator's schema as ``a OPERATOR(s.=) b``. ``NULLIF``, ``IS DISTINCT FROM``, ``CASE x WHEN``, ``JOIN …
USING`` and comparisons of rows have no place for it: pg_dump leaves it out, and who reads that finds another operator,
or none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

_TOKEN = re.compile(r'[{}()]|"(?:\\.|[^"\\])*"|(?:\\.|[^\s{}()\\])+', re.DOTALL)

Value: TypeAlias = "Node | list[Value] | str"


@dataclass
class Node:
    """A node: the values of each field, of which there are several only for constants."""

    name: str
    fields: dict[str, list[Value]] = field(default_factory=dict)


@dataclass
class Unnamed:
    """Operators by number: those that are meant without being named, and pairs of (named, meant) for rows.

    Of a comparison of rows only the first operator is named, and stands for all.
    """

    meant: set[int] = field(default_factory=set)
    pairs: set[tuple[int, int]] = field(default_factory=set)


def parse(text: str) -> list[Value]:
    """The values in a node tree. What is cut off or malformed gives what was there."""
    top: list[Value] = []
    open_: list[tuple[Node | None, list[Value]]] = [(None, top)]
    for match in _TOKEN.finditer(text):
        piece = match.group()
        node, values = open_[-1]
        if piece == "{":
            made = Node("")
            values.append(made)
            open_.append((made, []))
        elif piece == "(":
            inner: list[Value] = []
            values.append(inner)
            open_.append((None, inner))
        elif piece in ("}", ")"):
            if len(open_) > 1:
                open_.pop()
        elif node is None:
            values.append(piece)
        elif not node.name:
            node.name = piece
        elif piece.startswith(":") and (values or not node.fields):  # every field has a value
            fresh: list[Value] = []
            node.fields[piece[1:]] = fresh
            open_[-1] = (node, fresh)
        else:
            values.append(piece)
    return top


def unnamed(text: str) -> Unnamed:
    """The operators of a node tree that its SQL does not name."""
    found = Unnamed()
    # The second names of two nodes are those before version 16.
    for node in _walk(parse(text)):
        match node.name:
            case "NULLIFEXPR" | "DISTINCTEXPR":
                found.meant.update(_numbers(node, "opno"))
            case "CASEEXPR" | "CASE" if node.fields.get("arg") != ["<>"]:
                found.meant.update(_tested(node))
            case "JOINEXPR" if node.fields.get("usingClause") != ["<>"]:
                found.meant.update(number for each in _compared(node, "quals") for number in _numbers(each, "opno"))
            case "ROWCOMPAREEXPR" | "ROWCOMPARE":
                _pair(found, _numbers(node, "opnos"))
            case "SUBLINK":
                _pair(found, [number for each in _compared(node, "testexpr") for number in _numbers(each, "opno")])
    return found


def _pair(found: Unnamed, numbers: list[int]) -> None:
    found.pairs.update((numbers[0], other) for other in numbers[1:])


def _tested(case: Node) -> Iterator[int]:
    """The operators of ``CASE x WHEN y``: those whose left side is the value that is tested, as itself or converted."""
    for when in _nodes(case, "args"):
        for test in _nodes(when, "expr"):
            if test.name == "OPEXPR" and any(
                each.name == "CASETESTEXPR" for each in _walk(test.fields.get("args", []))
            ):
                yield from _numbers(test, "opno")


def _compared(node: Node, name: str) -> Iterator[Node]:
    """The comparisons in a condition that consists of one, or of several joined by AND or OR."""
    for each in _nodes(node, name):
        if each.name == "OPEXPR":
            yield each
        elif each.name == "BOOLEXPR":
            yield from _compared(each, "args")


def _nodes(node: Node, name: str) -> Iterator[Node]:
    """The nodes in a field, which may be one or a list."""
    for value in node.fields.get(name, ()):
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, Node):
                yield each


def _numbers(node: Node, name: str) -> list[int]:
    """The numbers in a field: one, or a list of them (``(o 1 2)``)."""
    found: list[int] = []
    for value in node.fields.get(name, ()):
        words = value if isinstance(value, list) else [value]
        found += [int(each) for each in words if isinstance(each, str) and each.isdecimal()]
    return found


def _walk(values: list[Value]) -> Iterator[Node]:
    todo = [*values]
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo += value
        elif isinstance(value, Node):
            yield value
            for inner in value.fields.values():
                todo += inner
