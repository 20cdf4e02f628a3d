"""``python -m pytest benchmarks`` measures everything, ``python -m pytest benchmarks --short`` at the sizes for CI."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from kleidia_backup.commands.console.memory import settle_malloc
from kleidia_backup.demo.servers.s3 import S3Server, start_s3
from kleidia_backup.demo.servers.together import start_servers

from .measuring import Measure
from .system import FULL, SHORT, Sizes, System


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--short", action="store_true", help="10,000 keys and 100 MB of SQL instead of 50,000 and 700")


def pytest_configure(config: pytest.Config) -> None:
    """Whoever names this directory wants to measure; the project's other tests run with benchmarks disabled.

    What ``--benchmark-save`` keeps lies beside the benchmarks, so that a release can be compared with the last one.
    """
    config.option.benchmark_disable = False
    settle_malloc()  # as the command does
    if config.option.benchmark_storage == "file://./.benchmarks":
        config.option.benchmark_storage = f"file://{Path(__file__).parent / 'results'}"


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """A result is comparable by its processor, not by the name of a machine or what else is known of it."""
    for name in ("node", "release", "python_build"):
        machine_info.pop(name, None)
    machine_info["cpu"] = {name: machine_info["cpu"].get(name, "unknown") for name in ("brand_raw", "count", "arch")}


def pytest_benchmark_update_commit_info(commit_info: dict[str, Any]) -> None:
    """The project is not called as the directory of its checkout."""
    commit_info["project"] = "kleidia-backup"


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """The table in docs/benchmarks.md says which form it shows."""
    output_json["form"] = "short" if config.getoption("short") else "full"


@pytest.fixture(scope="session")
def short(request: pytest.FixtureRequest) -> bool:
    """Whether this is the short form."""
    return bool(request.config.getoption("short"))


@pytest.fixture(scope="session")
def sizes(*, short: bool) -> Sizes:
    """How much to measure."""
    return SHORT if short else FULL


@pytest.fixture
def measure(
    benchmark: BenchmarkFixture, request: pytest.FixtureRequest, *, short: bool, capsys: pytest.CaptureFixture[str]
) -> Iterator[Measure]:
    """What a benchmark measures with; it prints as it goes, whatever happens to the output of tests."""

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}", end="", flush=True)

    measuring, failed = Measure(benchmark, say, short=short), request.session.testsfailed
    yield measuring
    assert measuring.judged or request.session.testsfailed > failed, "a benchmark that is not judged cannot fail"


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The servers, started once and filled as asked."""
    directory = tmp_path_factory.mktemp("benchmark")
    directory.chmod(0o755)
    with start_servers(directory / "servers", s3=False) as servers:
        yield System(servers, directory)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server, for the few benchmarks that ask for one."""
    server, process = start_s3(tmp_path_factory.mktemp("s3"))
    yield server
    process.stop()
