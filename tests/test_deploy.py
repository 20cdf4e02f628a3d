"""The examples in deploy/: what of them can be checked without Docker, Kubernetes and a running systemd."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from kleidia_backup.cli import build_parser
from kleidia_backup.commands.console.exit_codes import EXIT_CODES
from kleidia_backup.config.keys import KEYS
from kleidia_backup.config.reader import FILE_VARIABLE, PASSWORD_VARIABLE, load
from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.config.service_build import service_settings
from kleidia_backup.config.values import from_environment
from kleidia_backup.pipeline.job import JOB_TIMEOUT
from kleidia_backup.service import server
from kleidia_backup.service.api.routes import health as health_routes
from kleidia_backup.service.work import queue

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
#: The configuration's variables, and those that name a file, the password and the state directory.
VARIABLES = {key.variable for key in KEYS.values()} | {FILE_VARIABLE, PASSWORD_VARIABLE, "KLEIDIA_STATE_DIR"}
#: Seconds that the service takes to end when a job does not: requests, then the job's cleaning up, besides the grace.
ENDING = server._REQUESTS + queue._CLEANUP
#: Every door of a systemd unit that is closed.
HARDENED = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "RestrictNamespaces": "yes",
    "RestrictSUIDSGID": "yes",
    "SystemCallArchitectures": "native",
    "UMask": "0077",
    "LimitCORE": "0",
    "MemorySwapMax": "0",
}


def documents(name: str) -> dict[str, Any]:
    """The objects of a Kubernetes file, by their kinds."""
    (path,) = (DEPLOY / "kubernetes").rglob(name)
    found = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    assert len({each["kind"] for each in found}) == len(found)
    for each in found:
        assert each["metadata"]["namespace"] == "kleidia-backup"
    return {each["kind"]: each for each in found}


def dockerfile() -> list[str]:
    """Its instructions, comments and line breaks taken out."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def variables_of(words: Iterator[str] | list[str]) -> dict[str, str]:
    """Of NAME=VALUE words, those that are ours; each is known, and its value is one that it can have."""
    found = dict(word.split("=", 1) for word in words if word.startswith("KLEIDIA_"))
    assert found.keys() <= VARIABLES
    for key in KEYS.values():
        if key.variable in found:
            from_environment(key, found[key.variable])
    return found


def pod(template: Any) -> tuple[Any, Any]:
    """A pod's specification and its one container, after checking what every pod of ours must have."""
    spec = template["spec"]
    (container,) = spec["containers"]
    security = spec["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert f"USER {security['runAsUser']}:{security['runAsGroup']}" in dockerfile()
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is spec["enableServiceLinks"] is False
    # No limit of CPU: it would hold up a job that has a time limit, while nobody else wants the processor.
    assert container["resources"]["limits"].keys() == {"memory"}
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert {mount["name"] for mount in mounts.values()} == volumes.keys()
    assert "emptyDir" in volumes[mounts["/tmp"]["name"]]
    assert volumes["secrets"]["secret"]["defaultMode"] == 0o440
    build_parser().parse_args(container["args"])
    env = variables_of([f"{each['name']}={each['value']}" for each in container.get("env", [])])
    for name, value in env.items():
        if name.endswith("_FILE"):
            assert any(value.startswith(f"{path}/") for path in mounts)
    return spec, container


def configuration(tmp_path: Path, mounts: list[str]) -> ServiceSettings:
    """The ConfigMap as the service reads it; every secret in it lies where a volume is mounted."""
    text: str = documents("deployment.yaml")["ConfigMap"]["data"]["config.toml"]
    for path in re.findall(r'^\w+_file = "([^"]+)"', text, re.MULTILINE):
        assert str(Path(path).parent) in mounts
        secret = "host=control-db" if path.endswith("conninfo") else "a secret"
        (tmp_path / Path(path).name).write_text(secret, encoding="utf-8")
        text = text.replace(path, str(tmp_path / Path(path).name))
    assert not [key for key in KEYS.values() if key.secret and tomllib.loads(text).get(key.section, {}).get(key.name)]
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    return service_settings(load(file, {}))


def test_the_image_has_what_the_service_needs() -> None:
    """No root, no secret, the right pg_dump first on PATH, a signal that lets a job end, a check that it answers."""
    lines = dockerfile()
    user = next(line for line in reversed(lines) if line.startswith("USER "))
    assert user == "USER 10001:10001"
    assert lines.index(user) > max(number for number, line in enumerate(lines) if line.startswith(("RUN", "COPY")))
    assert sum(line.startswith("FROM ") for line in lines) > 1
    assert "STOPSIGNAL SIGTERM" in lines
    assert any('"postgresql-client-${PG_MAJOR}"' in line for line in lines)
    (env,) = [shlex.split(line)[1:] for line in lines if line.startswith("ENV ")]
    variables_of(env)
    assert "KLEIDIA_SERVICE_HOST=0.0.0.0" in env
    path = next(word for word in env if word.startswith("PATH=")).removeprefix("PATH=").split(":")
    assert path[:2] == ["/opt/kleidia-backup/bin", "/usr/lib/postgresql/${PG_MAJOR}/bin"]
    port = KEYS["service", "port"].example
    assert f"EXPOSE {port}" in lines
    (check,) = [line for line in lines if line.startswith("HEALTHCHECK")]
    assert f"http://127.0.0.1:{port}/healthz" in check
    assert 'ENTRYPOINT ["kleidia-backup"]' in lines
    build_parser().parse_args(yaml.safe_load(lines[-1].removeprefix("CMD ")))
    assert not [word for line in lines for word in line.split() if re.search(r"(?i)(password|secret|token)\w*=", word)]


def test_the_build_sees_the_package_and_nothing_else() -> None:
    """Everything is kept out but what pyproject.toml packs."""
    rules = [
        line
        for line in (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert rules[0] == "*"
    let_in = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = [name.split(".") for name in project["tool"]["setuptools"]["packages"]]
    needed = {parts[1] for parts in packages if len(parts) > 1} | {path.name for path in ROOT.glob("*.py")}
    locked = "deploy/requirements.txt"
    data = {path for paths in project["tool"]["setuptools"]["data-files"].values() for path in paths}
    assert let_in == needed | data | {"pyproject.toml", "README.md", "LICENSE", "py.typed", locked}


def test_the_deployment(tmp_path: Path) -> None:
    """Two replicas that may not write but to /tmp and the state directory, on a volume that outlives them."""
    objects = documents("deployment.yaml")
    deployment = objects["Deployment"]["spec"]
    spec, container = pod(deployment["template"])
    settings = configuration(tmp_path, [mount["mountPath"] for mount in container["volumeMounts"]])
    assert deployment["replicas"] == 2
    assert container["args"] == ["serve"]
    default = int(KEYS["service", "port"].example)
    assert [port["containerPort"] for port in container["ports"]] == [settings.port] == [default]
    assert settings.host == "0.0.0.0"
    assert spec["terminationGracePeriodSeconds"] > settings.grace + ENDING
    probes = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
    assert probes == {"livenessProbe": "/healthz", "readinessProbe": "/readyz", "startupProbe": "/readyz"}
    assert set(probes.values()) <= {getattr(route, "path", "") for route in health_routes.router.routes}
    # A folder below the volume: the volume itself is its group's to write, which the journal's directory may not be.
    (state,) = [mount for mount in container["volumeMounts"] if mount["name"] == "state"]
    assert settings.state is not None
    assert settings.state.parent == Path(state["mountPath"])
    assert spec["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"
    claim = objects["PersistentVolumeClaim"]
    (volume,) = [each for each in spec["volumes"] if each["name"] == "state"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels == objects["Service"]["spec"]["selector"]
    assert objects["PodDisruptionBudget"]["spec"] == {"minAvailable": 1, "selector": {"matchLabels": labels}}


def test_the_cron_job() -> None:
    """One at a time, in a time zone that is said, tried again only where that can help, and never for ever."""
    spec = documents("cronjob.yaml")["CronJob"]["spec"]
    job = spec["jobTemplate"]["spec"]
    pod_spec, container = pod(job["template"])
    assert (spec["concurrencyPolicy"], spec["timeZone"], spec["startingDeadlineSeconds"]) == ("Forbid", "Etc/UTC", 3600)
    assert pod_spec["restartPolicy"] == "Never"
    assert job["backoffLimit"] == 2
    assert job["activeDeadlineSeconds"] >= 2 * JOB_TIMEOUT
    assert "backup" in container["args"]
    (fails,) = [rule["onExitCodes"] for rule in job["podFailurePolicy"]["rules"] if rule["action"] == "FailJob"]
    assert fails["containerName"] == container["name"]
    assert set(fails["values"]) < EXIT_CODES.keys()
    shared = {(each["kind"], each["metadata"]["name"]) for each in documents("deployment.yaml").values()}
    assert ("ServiceAccount", pod_spec["serviceAccountName"]) in shared
    (config,) = [each["configMap"]["name"] for each in pod_spec["volumes"] if each["name"] == "config"]
    assert ("ConfigMap", config) in shared


def test_retention_follows_the_backup() -> None:
    """By the same pod, later than two attempts at a backup; by systemd after a backup that succeeded."""
    backup, retention = (documents(each)["CronJob"] for each in ("cronjob.yaml", "retention.yaml"))
    _, container = pod(retention["spec"]["jobTemplate"]["spec"]["template"])
    assert build_parser().parse_args(container["args"]).command == "retention"
    container["args"] = pod(backup["spec"]["jobTemplate"]["spec"]["template"])[1]["args"]
    assert retention["metadata"].pop("name") != backup["metadata"].pop("name")
    assert (backup["spec"].pop("schedule"), retention["spec"].pop("schedule")) == ("0 2 * * *", "30 6 * * *")
    assert retention == backup
    unit_of = unit(DEPLOY / "systemd" / "kleidia-backup-backup.service")["Service"]
    commands = [build_parser().parse_args(shlex.split(each)[1:]).command for each in unit_of["ExecStart"]]
    assert commands == ["backup", "retention"]


def kustomization(directory: str) -> tuple[Path, dict[str, Any]]:
    """A directory of Kubernetes files and its kustomization, of which every file that it names is there."""
    path = DEPLOY / "kubernetes" / directory
    found: dict[str, Any] = yaml.safe_load((path / "kustomization.yaml").read_text(encoding="utf-8"))
    named = [*found["resources"], *(each for made in found.get("configMapGenerator", ()) for each in made["files"])]
    assert all((path / each).exists() for each in named)
    return path, found


def test_the_base_is_the_files_and_the_example_is_their_configuration(tmp_path: Path) -> None:
    """Kustomize takes every file there is; what an installation writes anew is what the base has, to begin with."""
    for directory in ("base", "cronjob"):
        path, base = kustomization(directory)
        assert {"kustomization.yaml", *base["resources"]} == {each.name for each in path.iterdir()}
    path, example = kustomization("example")
    assert example["resources"] == ["../base"]
    objects = documents("deployment.yaml")
    (made,) = example["configMapGenerator"]
    config = objects["ConfigMap"]
    assert (made["name"], made["namespace"], made["behavior"]) == (*config["metadata"].values(), "replace")
    assert {name: (path / name).read_text(encoding="utf-8") for name in made["files"]} == config["data"]
    (image,) = example["images"]
    _, container = pod(objects["Deployment"]["spec"]["template"])
    _, other = pod(documents("cronjob.yaml")["CronJob"]["spec"]["jobTemplate"]["spec"]["template"])
    assert f"{image['name']}:{image['newTag']}" == container["image"] == other["image"]
    assert container["resources"] == other["resources"]
    ((patched, patch),) = [(each["target"], each["patch"]) for each in example["patches"]]
    assert patched["name"] == objects[patched["kind"]]["metadata"]["name"]
    assert [each["op"] for each in yaml.safe_load(patch)] == ["add"]
    if kubectl := shutil.which("kubectl"):
        built = subprocess.run([kubectl, "kustomize", path], capture_output=True, text=True, check=True)
        kinds = sorted(each["kind"] for each in yaml.safe_load_all(built.stdout))
        assert kinds == sorted([*objects, "NetworkPolicy"])


class _Unit(dict[str, list[str]]):
    """All values of every key of a section."""


def unit(path: Path) -> dict[str, _Unit]:
    """A unit's sections. Its form is that of an ini file whose keys may repeat."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",), allow_no_value=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # case counts
    text = path.read_text(encoding="utf-8")
    parser.read_string(text)
    sections: dict[str, _Unit] = {name: _Unit() for name in parser.sections()}
    section = _Unit()
    for line in text.splitlines():
        if line.startswith("["):
            section = sections[line.strip("[]")]
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            section.setdefault(name, []).append(value)
    return sections


def seconds(text: str) -> float:
    """A time span as our units write it."""
    number, what = re.fullmatch(r"(\d+)(min|s|)", text).groups()  # type: ignore[union-attr]
    return int(number) * (60 if what == "min" else 1)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit(path: Path) -> None:
    """It runs a command that exists as a user of its own, with nothing open, and reads its secrets as credentials."""
    service = unit(path)["Service"]
    program, *arguments = shlex.split(service["ExecStart"][0])
    assert program == "/opt/kleidia-backup/bin/kleidia-backup"
    build_parser().parse_args(arguments)
    assert {name: service[name][-1] for name in HARDENED} == HARDENED
    assert service["User"] == ["kleidia-backup"]
    assert service["KillMode"] == ["mixed"]  # else pg_dump gets the signal that is meant for us
    env = variables_of(service["Environment"])
    credentials = {each.partition(":")[0] for each in service["LoadCredential"]}
    read = {value.removeprefix("%d/") for name, value in env.items() if name.endswith("_FILE")}
    assert read == credentials
    assert not [name for name in env if any(key.secret and key.variable == name for key in KEYS.values())]
    assert env["KLEIDIA_BACKUP_STATE_DIR"] == f"%S/{service['StateDirectory'][0]}"
    assert service["StateDirectoryMode"] == ["0700"]


def test_the_service_has_time_to_end_and_the_backup_to_work() -> None:
    """The manager kills neither before its own limits have ended it."""
    serve = unit(DEPLOY / "systemd" / "kleidia-backup.service")["Service"]
    grace = from_environment(KEYS["service", "grace"], variables_of(serve["Environment"])["KLEIDIA_SERVICE_GRACE"])
    assert isinstance(grace, float)
    assert seconds(serve["TimeoutStopSec"][0]) > grace + ENDING
    assert serve["RestartPreventExitStatus"] == ["2"]
    once = unit(DEPLOY / "systemd" / "kleidia-backup-backup.service")["Service"]
    assert once["Type"] == ["oneshot"]
    assert seconds(once["TimeoutStartSec"][0]) > JOB_TIMEOUT


def test_the_timer_makes_up_for_a_night_that_was_missed() -> None:
    """It starts the unit of its own name, also when the machine was off."""
    timer = DEPLOY / "systemd" / "kleidia-backup-backup.timer"
    sections = unit(timer)
    assert sections["Timer"]["Persistent"] == ["true"]
    assert sections["Timer"]["OnCalendar"] == ["*-*-* 02:00:00"]
    assert sections["Install"]["WantedBy"] == ["timers.target"]
    assert timer.with_suffix(".service") in UNITS


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    """Nothing is left for systemd-analyze to say; where it is not installed, their form is still looked at."""
    for path in (DEPLOY / "systemd").iterdir():
        text = path.read_text(encoding="utf-8")
        (tmp_path / path.name).write_text(
            text.replace("/opt/kleidia-backup/bin/kleidia-backup", "/bin/true"), encoding="utf-8"
        )
        assert unit(path).keys() <= {"Unit", "Service", "Timer", "Install"}
        assert all(re.fullmatch(r"[A-Z]\w+", name) for section in unit(path).values() for name in section)
    if analyze := shutil.which("systemd-analyze"):
        units = sorted(map(str, tmp_path.iterdir()))
        done = subprocess.run([analyze, "verify", *units], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_pods_speak_to_what_they_need() -> None:
    """The policy is for the pods of both files, lets the proxy in, and goes out to what is configured, and to names."""
    policy = documents("networkpolicy.yaml")["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    ((chosen,),) = (policy["podSelector"]["matchExpressions"],)
    templates = [documents("deployment.yaml")["Deployment"]["spec"]["template"]]
    templates.append(documents("cronjob.yaml")["CronJob"]["spec"]["jobTemplate"]["spec"]["template"])
    assert sorted(chosen["values"]) == sorted(each["metadata"]["labels"][chosen["key"]] for each in templates)
    ((into,),) = ([each["ports"] for each in policy["ingress"]],)
    assert [each["port"] for each in into] == [KEYS["service", "port"].of.default]
    names, servers = policy["egress"]
    assert {each["port"] for each in names["ports"]} == {53}
    assert {each["port"] for each in servers["ports"]} == {5432, 8200, 443}


def test_what_others_make_is_pinned() -> None:
    """The image's base by its digest, its packages by their hashes, and every action by its commit."""
    text = (DEPLOY / "requirements.txt").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([a-z0-9-]+)(?:\[\S+\])?==(\S+) \\\n +--hash=sha256:", text, re.MULTILINE))
    assert len(locked) == len(re.findall(r"^[a-z]", text, re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for asked in map(Requirement, (*project["dependencies"], *project["optional-dependencies"]["service"])):
        assert locked[asked.name.lower().replace("_", "-")] in asked.specifier, (
            f"{asked}: renew deploy/requirements.txt"
        )
    assert sum("--require-hashes" in line and "deploy/requirements.txt" in line for line in dockerfile()) == 1
    bases = [line for line in dockerfile() if line.startswith(("FROM ", "ARG BASE="))]
    assert re.fullmatch(r"ARG BASE=\S+@sha256:[0-9a-f]{64}", bases[0])
    assert all(line.startswith("FROM ${BASE}") for line in bases[1:])
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    used = [line for each in workflows for line in re.findall(r"uses: .*", each.read_text(encoding="utf-8"))]
    assert used
    assert all(re.fullmatch(r"uses: [\w/-]+@[0-9a-f]{40} # v[0-9.]+", line) for line in used)
    assert any(".ci/run" in each.read_text(encoding="utf-8") for each in workflows)
