"""How the product is built: small files, small folders, no circles."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("pipeline", "stages", "formats", "config", "notify", "service", "commands", "demo")
MODULES = [*ROOT.glob("*.py"), *(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))]


def _name(path: Path) -> str:
    parts = ("kleidia_backup", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {_name(path): path for path in MODULES}

#: Where a function imports what is heavy, optional, or behind a choice: so that ``--help``, ``import kleidia_backup``
#: and settings cost nothing of it.
DOORS = (
    "kleidia_backup.__main__",
    "kleidia_backup.cli",
    "kleidia_backup.commands.arguments.parser",
    "kleidia_backup.commands.checks",
    "kleidia_backup.commands.console.memory",
    "kleidia_backup.commands.console.progress",
    "kleidia_backup.commands.console.stopping",
    "kleidia_backup.commands.console.tables",
    "kleidia_backup.commands.console.terminal",
    "kleidia_backup.commands.copying.sync",
    "kleidia_backup.commands.demo",
    "kleidia_backup.commands.invocation",
    "kleidia_backup.commands.records.audit",
    "kleidia_backup.commands.records.control",
    "kleidia_backup.commands.records.history",
    "kleidia_backup.commands.records.recorded",
    "kleidia_backup.commands.restores.restore",
    "kleidia_backup.commands.retention.retention",
    "kleidia_backup.commands.serving.schedules",
    "kleidia_backup.commands.serving.serve",
    "kleidia_backup.commands.verify",
    "kleidia_backup.config.build",
    "kleidia_backup.config.key_files",
    "kleidia_backup.config.password",
    "kleidia_backup.demo.servers.openbao",
    "kleidia_backup.demo.servers.s3",
    "kleidia_backup.notify.channels",
    "kleidia_backup.pipeline.parts.choice",
    "kleidia_backup.pipeline.parts.elsewhere",
    "kleidia_backup.pipeline.parts.passwords",
    "kleidia_backup.pipeline.undo",
    "kleidia_backup.stages.pg.server.conninfo",
    "kleidia_backup.stages.stores.s3.settings",
)


def _imports(path: Path) -> Iterator[str]:
    """The product's modules that one imports, also for types alone; not what a function imports when it is called."""
    package = (_name(path) if path.name == "__init__.py" else _name(path).rpartition(".")[0]).split(".")
    for node in _outside_functions(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in NAMES else base


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
            yield from _outside_functions(child)


def test_no_file_is_longer_than_400_lines() -> None:
    """What is longer has more than one idea."""
    lengths = {_name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_no_folder_has_more_than_15_modules() -> None:
    """What has more wants a folder inside."""
    folders = {path.parent for path in MODULES} - {ROOT}
    beside = {"__init__.py", "recover.py"}  # the latter are programs of their own, which no module imports
    counts = {
        str(folder.relative_to(ROOT)): len([path for path in folder.glob("*.py") if path.name not in beside])
        for folder in folders
    }
    assert {folder: count for folder, count in counts.items() if count > 15} == {}


def test_every_folder_says_what_it_is_for() -> None:
    """In the first line of its ``__init__``."""
    folders = {path.parent for path in MODULES}
    silent = [
        str(folder)
        for folder in folders
        if not ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    ]
    assert silent == []


def test_every_folder_is_packed() -> None:
    """One that pyproject.toml does not list works in the checkout, and is missing where it is installed."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    assert listed == sorted({".".join(("kleidia_backup", *path.parent.relative_to(ROOT).parts)) for path in MODULES})


def test_no_modules_import_each_other() -> None:
    """Not in a circle of any length, nor for types alone; a function at a door may import what is behind it."""
    graph = {name: set(_imports(path)) - {name} for name, path in NAMES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        raise AssertionError(f"a circle: {' -> '.join(exc.args[1])}") from None


def test_functions_import_at_the_doors_alone() -> None:
    """Elsewhere imports stand at the top, where everybody looks for them."""
    late = {
        name
        for name, path in NAMES.items()
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert sorted(late) == sorted(DOORS)
