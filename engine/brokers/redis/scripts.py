"""The scripts of the queue: a file in ``lua/`` for each verb, and before it what its header says it uses.

    -- USES  state queue answer

names files of ``lua/shared`` and of ``engine/limits/lua``, each of which names in the same way what it uses itself.
They are prepended, so that any Redis since 6.2 runs them: libraries came with 7.0. (But one of 6.2 may bring scripts
back from a snapshot, and then nothing shows that it was started anew; see docs/decisions/0012.) To define a function
takes a call as long as to run it, so a verb uses no file that it can do without.

A shared file is a function that hands on what others use, and is called at once: each function that Lua makes looks for
the variables it shares among all that are shared around it, so the fewer there are, the sooner everything is defined. A
variable that changes is declared outside, as only a table is handed on as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from pathlib import Path

from tempogram.engine import limits
from tempogram.engine.brokers.redis.constants import constants_table

FOLDER = Path(__file__).parent / "lua"
LIFECYCLE = FOLDER / "lifecycle"
"""Scripts that begin, find and clear a queue: no verbs of ``Broker``."""

SHARED = FOLDER / "shared"
ARITHMETIC = Path(limits.__file__).parent / "lua"
"""What the queues of messages and of calls reckon with alike."""

_USES = re.compile(r"^-- USES  (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """One verb, and the name under which Redis remembers it."""

    text: str
    sha: str


@cache
def scripts() -> Mapping[str, Script]:
    """Read every verb, by its name."""
    return {
        path.stem: script(path, constants_table()) for folder in (FOLDER, LIFECYCLE) for path in folder.glob("*.lua")
    }


def uses(text: str) -> list[str]:
    r"""Return which shared files a header names.

    >>> uses("-- Count.\n-- USES  state answer\n")
    ['state', 'answer']
    """
    found = _USES.search(text)
    return found[1].split() if found else []


def script(path: Path, constants: str, shared_folder: Path = SHARED) -> Script:
    """Read one verb; ``constants`` is the line with the numbers that it is given."""
    folders = (shared_folder, ARITHMETIC)
    verb = _read(path)
    shared = dict.fromkeys(_before(verb, folders))
    text = "\n".join((constants, *map(_read, shared), verb))
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


def _before(text: str, folders: Sequence[Path]) -> Iterator[Path]:
    """Yield the shared files that a text needs, each after those that it needs itself."""
    for name in uses(text):
        path = next(path for folder in folders if (path := folder / f"{name}.lua").is_file())
        yield from _before(_read(path), folders)
        yield path


@cache
def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
