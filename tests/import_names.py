"""A pytest plugin: a run fails in which a module of ours was imported without the prefix ``tempogram``.

Such a module is a second copy, whose classes are not the first one's. The repository's root is on the path of each
run, so a single ``import engine`` would do it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import pytest

FOLDERS = {"api", "bot", "engine", "simulator", "storage"}

FOUND = pytest.StashKey[set[str]]()


def unprefixed(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name.partition(".")[0] in FOLDERS)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FOUND] = set()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Take over what a process of pytest-xdist found."""
    config: pytest.Config = node.config  # type: ignore[attr-defined]
    output: dict[str, list[str]] = getattr(node, "workeroutput", {})
    config.stash[FOUND].update(output.get("unprefixed", []))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    found = session.config.stash[FOUND]
    found.update(unprefixed(sys.modules))
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["unprefixed"] = sorted(found)
    elif found and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = config.stash[FOUND]
    if found:
        terminalreporter.section("modules under a second name", red=True)
        terminalreporter.line(f"imported without the prefix tempogram: {', '.join(sorted(found))}")
