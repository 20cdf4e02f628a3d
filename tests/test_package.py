"""The package as it is built and installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from ast import literal_eval
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _files() -> list[str]:
    """What belongs to the project: all that git knows or would take, or all there is in a source distribution."""
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "-z", "-co", "--exclude-standard"]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        return [name for name in done.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    found = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()]
    return [name for name in found if not re.search(r"__pycache__|egg-info|(^|/)\.(venv|\w+_cache)/|^build/", name)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel, built from a copy so that nothing is left in the checkout."""
    directory = tmp_path_factory.mktemp("wheel")
    for name in _files():
        target = directory / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    subprocess.run(  # a source distribution, and the wheel from that
        [sys.executable, "-m", "build", "--outdir", str(directory), str(directory / "source")],
        check=True,
        capture_output=True,
    )
    return zipfile.ZipFile(next(directory.glob("*.whl")))


@pytest.fixture(scope="module")
def unpacked(wheel: zipfile.ZipFile) -> Path:
    """The source distribution as whoever got it has it."""
    directory = Path(str(wheel.filename)).parent
    (file,) = directory.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        archive.extractall(directory / "unpacked", filter="data")
    (root,) = (directory / "unpacked").iterdir()
    return root


def test_the_wheel_holds_exactly_one_top_level_name(wheel: zipfile.ZipFile) -> None:
    """No bare ``pipeline`` or ``formats`` lands beside a service's own packages; besides, there is the manual page."""
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith((".dist-info", ".data"))} == {"kleidia_backup"}
    assert len(tops) == 3
    (page,) = [name.partition("/")[2] for name in wheel.namelist() if name.partition("/")[0].endswith(".data")]
    assert page == "data/share/man/man1/kleidia-backup.1"


def test_the_wheel_holds_every_module_and_no_test(wheel: zipfile.ZipFile) -> None:
    """Packages and data files are listed by hand in pyproject.toml: a forgotten one is found here."""
    names = set(wheel.namelist())
    for room in ("pipeline", "stages", "formats", "config", "notify", "service", "commands", "demo"):
        for path in [*(ROOT / room).rglob("*.py"), *(ROOT / room).rglob("*.sql")]:
            assert f"kleidia_backup/{path.relative_to(ROOT)}" in names
    assert {"kleidia_backup/py.typed", "kleidia_backup/formats/v1/SPEC.md", "kleidia_backup/cli.py"} <= names
    assert {"kleidia_backup/formats/HOW-TO.txt", "kleidia_backup/formats/v2/SPEC.md"} <= names
    assert not [name for name in names if "tests" in name or "benchmarks" in name]


def test_the_source_distribution_is_complete(unpacked: Path) -> None:
    """Every file of the project: documents and pictures, the tests with their data, and what CI runs."""
    there = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    assert {name for name in _files() if name not in there} == set()
    more = {name for name in there - set(_files()) if "egg-info" not in name}
    assert more <= {"PKG-INFO", "setup.cfg"}


def test_the_suite_runs_from_the_source_distribution(wheel: zipfile.ZipFile, unpacked: Path, tmp_path: Path) -> None:
    """A part of it, with the package as the wheel has it; not with the one that is installed here."""
    wheel.extractall(tmp_path / "site")
    where = "import kleidia_backup; print(kleidia_backup.__file__)"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site"), "KLEIDIA_TEST_CONTAINERS": ""}

    def run(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=unpacked, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert run("-c", where).strip() == str(tmp_path / "site/kleidia_backup/__init__.py")
    parts = ("formats/test_v1.py", "formats/test_vectors.py", "cli/test_help.py", "test_structure.py")
    said = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *(f"tests/{part}" for part in parts))
    assert re.search(r"\d{3} passed", said)


def test_importing_the_package_imports_nothing_heavy() -> None:
    """A service pays for what it uses, and ``--help`` for nothing."""
    heavy = ["anyio", "aiohttp", "aiobotocore", "botocore", "psycopg", "hvac", "cryptography", "rich", "structlog"]
    code = f"import sys, kleidia_backup; print([m for m in sys.modules if m.split('.')[0] in {heavy}])"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    """``__all__`` is sorted, complete and importable."""
    import kleidia_backup

    assert sorted(kleidia_backup.__all__) == kleidia_backup.__all__
    for name in kleidia_backup.__all__:
        assert getattr(kleidia_backup, name) is not None
    with pytest.raises(AttributeError):
        _ = kleidia_backup.no_such_name


#: Runs in an environment that has the wheel and what anyio needs, and nothing else.
_ENGINE = """
import sys
import anyio
from kleidia_backup.engine import Inlet, Map, Outlet, Pipeline, testing

async def main():
    print(await testing.collect(Map(str.upper), ["a", "b"]))
    names = {name.split(".")[0] for name in sys.modules if getattr(sys.modules[name], "__file__", None)}
    print(sorted(name for name in names if "site-packages" in str(getattr(sys.modules.get(name), "__file__", ""))))

anyio.run(main)
try:
    from kleidia_backup import backup
except ModuleNotFoundError as error:
    print(error)
"""


def test_the_engine_needs_anyio_alone(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """Installed beside anyio, it runs; the rest of the package says what it lacks."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*install, str(wheel.filename)], check=True, capture_output=True)
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    for name in ("anyio", "idna", "typing_extensions"):
        for file in distribution(name).files or []:
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target = site / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), target)
    done = subprocess.run([str(python), "-I", "-c", _ENGINE], capture_output=True, text=True, check=True)
    result, loaded, lacking = done.stdout.splitlines()
    assert result == "['A', 'B']"
    assert set(literal_eval(loaded)) <= {"anyio", "idna", "kleidia_backup", "typing_extensions"}
    assert lacking.startswith("No module named")
