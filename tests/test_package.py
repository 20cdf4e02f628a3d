"""The package as it is built and installed."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel, built from a copy so that nothing is left in the checkout."""
    directory = tmp_path_factory.mktemp("wheel")
    files = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True
    )
    for name in files.stdout.decode().split("\0"):
        source = ROOT / name
        if name and source.is_file():
            target = directory / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(directory), str(directory / "source")],
        check=True,
        capture_output=True,
    )
    return zipfile.ZipFile(next(directory.glob("*.whl")))


def test_the_wheel_holds_exactly_one_top_level_name(wheel: zipfile.ZipFile) -> None:
    """No bare ``pipeline`` or ``formats`` lands beside a service's own packages."""
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"kleidia_backup"}
    assert len(tops) == 2


def test_the_wheel_holds_every_module_and_no_test(wheel: zipfile.ZipFile) -> None:
    """Packages are listed by hand in pyproject.toml: a forgotten one is found here."""
    names = set(wheel.namelist())
    for room in ("pipeline", "stages", "formats", "service"):
        for path in (ROOT / room).rglob("*.py"):
            assert f"kleidia_backup/{path.relative_to(ROOT)}" in names
    assert {"kleidia_backup/py.typed", "kleidia_backup/formats/SPEC.md", "kleidia_backup/cli.py"} <= names
    assert not [name for name in names if "tests" in name or "benchmarks" in name]


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
