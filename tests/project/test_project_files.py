"""What lies around the code: the files that a user, a container or CI reads first."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tempogram.bot.config.settings import Settings
from tests import ROOT
from tests.project.sources import tracked_files

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_the_readmes_first_screen_shows_how_to_run_and_how_to_test() -> None:
    first_screen = "\n".join((ROOT / "README.md").read_text().splitlines()[:40])

    assert "make run" in first_screen
    assert "make test" in first_screen


def test_every_target_of_the_makefile_stands_in_its_help() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = next(line for line in makefile.splitlines() if line.startswith(".PHONY:")).split()[1:]

    documented = re.findall(r"^([a-z]+):.*##", makefile, re.MULTILINE)

    assert sorted(phony) == sorted(documented)


def test_constraints_name_versions_and_no_address() -> None:
    lines = (ROOT / "constraints.txt").read_text().split()

    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)] == []


def test_everything_that_is_installed_is_pinned() -> None:
    frozen = subprocess.run(
        [sys.executable, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True, check=True
    ).stdout.split()
    pinned = {line.lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().split()}
    own = {"pip", "setuptools", "wheel", "tempogram"}

    loose = [line for line in frozen if line.lower().replace("_", "-") not in pinned and line.split("==")[0] not in own]

    assert loose == []


@pytest.mark.parametrize("role", ["run", "api", "worker", "scheduler"])
def test_compose_gives_a_role_only_settings_that_exist(role: str) -> None:
    service = COMPOSE["services"][role]

    unknown = {name for name in service["environment"] if name.lower() not in Settings.model_fields}

    assert unknown == {"PGPASSWORD"}  # the driver's
    assert service["command"] == ["tempogram", role]


@pytest.mark.parametrize("role", ["run", "api", "worker", "scheduler"])
def test_compose_takes_settings_from_a_file_but_not_where_a_container_serves(role: str) -> None:
    service = COMPOSE["services"][role]
    (of_image,) = re.findall(r"^ENV (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    assert service["env_file"] == [{"path": ".env", "required": False}]
    assert {f"{name}={service['environment'].get(name)}" for name in ("DATA_DIR", "HOST", "PORT")} == set(
        of_image.split()
    )


@pytest.mark.parametrize("server", ["redis", "postgres"])
def test_compose_lets_the_roles_wait_for_healthy_servers(server: str) -> None:
    waiting = [name for name, service in COMPOSE["services"].items() if server in service.get("depends_on", {})]

    assert "test" in COMPOSE["services"][server]["healthcheck"]
    assert {"api", "worker", "scheduler"} <= set(waiting)
    for name in waiting:
        assert COMPOSE["services"][name]["depends_on"][server] == {"condition": "service_healthy"}


def test_redis_keeps_an_append_only_file_and_evicts_nothing() -> None:
    command = COMPOSE["services"]["redis"]["command"]

    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"


@pytest.mark.parametrize("role", ["run", "api", "worker", "scheduler"])
def test_compose_builds_one_image_for_every_role(role: str) -> None:
    service = COMPOSE["services"][role]

    assert (service["image"], service["build"]) == ("${TEMPOGRAM_IMAGE:-tempogram}", "${TEMPOGRAM_BUILD:-.}")


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_compose_bounds_the_logs_and_the_memory_of_every_container(name: str) -> None:
    service = COMPOSE["services"][name]

    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    assert mib(service["mem_limit"]) >= 512


def test_compose_bounds_redis_below_the_memory_of_its_container() -> None:
    service = COMPOSE["services"]["redis"]
    maxmemory = service["command"][service["command"].index("--maxmemory") + 1]

    assert 2 * mib(maxmemory.removesuffix("b")) < mib(service["mem_limit"])  # writing its file anew may take as much


def mib(size: str) -> int:
    return int(size[:-1]) * {"m": 1, "g": 1_024}[size[-1]]


def test_no_container_has_a_volume_without_a_name() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    mounted = [volume for service in COMPOSE["services"].values() for volume in service["volumes"]]

    assert "VOLUME" not in dockerfile
    assert {volume.partition(":")[0] for volume in mounted} == COMPOSE["volumes"].keys()


def test_compose_puts_the_password_of_the_database_into_no_address() -> None:
    """It may have any character; in an address some would have to be escaped."""
    addresses = [
        value
        for service in COMPOSE["services"].values()
        for value in service.get("environment", {}).values()
        if "://" in str(value)
    ]

    assert [address for address in addresses if "$" in address] == []


def test_make_env_writes_all_that_compose_requires(tmp_path: Path) -> None:
    required = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    shutil.copy(ROOT / ".env.example", tmp_path)
    shutil.copy(ROOT / "Makefile", tmp_path)
    script = tmp_path / "bot" / "commands" / "env_file.py"
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / "bot" / "commands" / "env_file.py", script)

    run = subprocess.run(["make", "env"], cwd=tmp_path, capture_output=True, text=True, check=True)

    values = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines() if line[0] != "#")
    assert required <= values.keys()
    assert [value for value in values.values() if value in run.stdout + run.stderr] == []


def test_every_curl_that_sends_json_says_so() -> None:
    silent = [
        f"{page.name}: {command}"
        for page in tracked_files("*.md")
        for command in re.findall(r"curl (?:[^\n]*\\\n)*[^\n]*", page.read_text())
        if re.search(r"""-d ['"]\{""", command) and "Content-Type: application/json" not in command
    ]

    assert silent == []
