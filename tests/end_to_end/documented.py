"""The commands of a document, and what it says that they print."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Self

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"`([\w./]+\.py)`:\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MESSAGE_ID = re.compile(r"\b[0-9a-f]{26}\b")
END = "the command has ended"
ANY = "…"
"""In a document: whatever may stand here."""


class Command(NamedTuple):
    """A line after a ``$``, and the lines below it."""

    text: str
    printed: str


def files_in(document: str) -> dict[str, str]:
    r"""Return the Python files that a document shows, by their names, each said before a colon.

    >>> files_in("Write it into `shop.py`:\n\n```python\nx = 1\n```\n")
    {'shop.py': 'x = 1\n'}
    """
    return dict(NAMED.findall(document))


def commands_in(document: str) -> list[Command]:
    r"""Return the commands of all console blocks, in order.

    >>> commands_in("```console\n$ echo a \\\n    b\na b\n$ true\n```\n")
    [Command(text='echo a \\\n    b', printed='a b'), Command(text='true', printed='')]
    """
    return [command for language, block in BLOCK.findall(document) if language == "console" for command in _of(block)]


def _of(block: str) -> Iterator[Command]:
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        end = next(index for index, line in enumerate(lines) if not line.endswith("\\")) + 1
        yield Command("\n".join(lines[:end]), "\n".join(lines[end:]))


def is_as_documented(printed: str, documented: str) -> bool:
    r"""Tell whether a command printed what its document shows; message ids differ.

    >>> is_as_documented("a: 7 of 9\nb", "a: 7 …\nb"), is_as_documented("b", "c"), is_as_documented("b", "")
    (True, False, True)
    """
    if not documented.strip():
        return True
    pattern = re.escape(MESSAGE_ID.sub(ANY, documented).strip()).replace(re.escape(ANY), ".*")
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


class Shell:
    """A shell that keeps its variables from one command to the next."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = os.environ | environment
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            "bash",
            env=self._environment,
            cwd=self._folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def run(self, command: str) -> str:
        """Run a command, and return what it printed."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\nprintf '\\n{END}\\n'\n".encode())
        printed = b""
        while not printed.endswith(f"\n{END}\n".encode()):
            line = await self._process.stdout.readline()
            assert line, printed.decode()
            printed += line
        return printed.removesuffix(f"\n{END}\n".encode()).decode()
