"""Environments for other frameworks: a virtual environment and a folder from npm, made for one run and removed.

The pinned versions stand in ``clients/requirements.txt`` and ``clients/package.json``; where packages come
from depends on the machine.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

CLIENTS = Path(__file__).parent / "clients"


@dataclass(frozen=True, slots=True)
class Environments:
    """How to start a script of ``clients/``: in a fresh virtual environment, in node, or in ours."""

    python: Path
    node: Path
    npm_folder: Path

    def command(self, script: str) -> list[str]:
        """Return the command that runs a script; those of node lie in the folder that npm made."""
        if script.endswith(".mjs"):
            return [str(self.node), str(self.npm_folder / script)]
        python = self.python if script.startswith("ptb") else Path(sys.executable)
        return [str(python), str(CLIENTS / script)]


@asynccontextmanager
async def environments() -> AsyncIterator[Environments]:
    """Make both, until the block ends.

    Raises:
        RuntimeError: npm is missing, or something could not be installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        node, _ = await asyncio.gather(
            npm_folder(root / "npm", CLIENTS),
            virtual_environment(root / "venv", "--requirement", str(CLIENTS / "requirements.txt")),
        )
        yield Environments(root / "venv" / "bin" / "python", node, root / "npm")


async def virtual_environment(folder: Path, *requirements: str) -> Path:
    """Make one with exactly these packages, and return its Python."""
    await _run(sys.executable, "-m", "venv", str(folder))
    python = folder / "bin" / "python"
    pip = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")
    await _run(*pip, *requirements)
    return python


async def npm_folder(folder: Path, source: Path) -> Path:
    """Make one with the scripts of a folder and exactly the packages that its package.json names; return node.

    Raises:
        RuntimeError: npm is missing, or something could not be installed.
    """
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise RuntimeError("node and npm are needed, and were not found")
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__", "bottleneck"))
    # No lock file: it would record the addresses of this machine's registry.
    await _run(npm, "install", "--prefix", str(folder), "--no-package-lock", "--no-audit", "--no-fund", "--silent")
    return Path(node)


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed:\n{output.decode()[-2_000:]}")
