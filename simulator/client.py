"""Starts the simulator as a process of its own and speaks its control API; for tests and benchmarks."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp
import msgspec

from tempogram.simulator.limits.faults import Fault
from tempogram.simulator.report import Report
from tempogram.simulator.server.control import CALLS_LIMIT

START_TIMEOUT_S = 15
END_TIMEOUT_S = 5


@dataclass(frozen=True, slots=True)
class RunningSimulator:
    """A simulator in another process."""

    url: str
    pid: int
    session: aiohttp.ClientSession

    async def report(self) -> Report:
        """See ``Simulator.report``."""
        return msgspec.convert(await self.call("GET", "report"), Report)

    async def calls(self, *, since: int = 0) -> list[dict[str, Any]]:
        """List what arrived, oldest first."""
        calls: list[dict[str, Any]] = []
        while True:
            page = await self.call("GET", f"calls?since={since}&limit={CALLS_LIMIT}")
            calls += page
            if len(page) < CALLS_LIMIT:
                return calls
            since = page[-1]["index"] + 1

    async def order(self, *faults: Fault) -> list[int]:
        """See ``Simulator.order``."""
        ids: list[int] = (await self.call("POST", "faults", [asdict(fault) for fault in faults]))["ids"]
        return ids

    async def end_faults(self) -> None:
        """Let nothing go wrong any more."""
        await self.call("DELETE", "faults")

    async def add_bots(self, *tokens: str) -> list[int]:
        """Register bots and return their ids."""
        ids: list[int] = (await self.call("POST", "bots", [{"token": token} for token in tokens]))["ids"]
        return ids

    async def add_chat(self, kind: str, title: str, **details: object) -> int:
        """Register a chat and return its id; ``details`` as in ``World.add_chat``, bots by id."""
        chat_id: int = (await self.call("POST", "chats", {"kind": kind, "title": title} | details))["ids"][0]
        return chat_id

    async def add_user(self, first_name: str, **details: object) -> int:
        """Register a user and return the id."""
        user_id: int = (await self.call("POST", "users", {"first_name": first_name} | details))["ids"][0]
        return user_id

    async def say(self, user: int, text: str, **where: object) -> int:
        """Let a user write to a ``chat`` or a ``bot``, and return the message's id."""
        answer = await self.call("POST", "say", {"user": user, "text": text} | where)
        message_id: int = answer["message_ids"][0]
        return message_id

    async def talk(self, *, mean_interval_ms: int, users: int = 3) -> None:
        """Let users write by themselves; 0 ends it."""
        await self.call("POST", "talkers", {"mean_interval_ms": mean_interval_ms, "users": users})

    async def change(self, **settings: object) -> None:
        """Change some settings."""
        await self.call("PATCH", "settings", settings)

    async def reset(self) -> None:
        """See ``Simulator.reset``."""
        await self.call("POST", "reset")

    async def call(self, method: str, path: str, body: object = None) -> Any:
        """Make one call of the control API.

        Raises:
            ValueError: The simulator refused it; the text is its sentence.
        """
        data = None if body is None else msgspec.json.encode(body)
        async with self.session.request(method, f"{self.url}/_sim/{path}", data=data) as response:
            answer = msgspec.json.decode(await response.read())
            if response.status != 200:
                raise ValueError(answer["error"])
            return answer


@asynccontextmanager
async def running_simulator(*, port: int = 0, **settings: object) -> AsyncIterator[RunningSimulator]:
    """Run ``python -m tempogram.simulator`` until the block ends.

    Raises:
        RuntimeError: It did not start; the reason stands on standard error.
    """
    chosen = [word for name, value in settings.items() for word in ("--set", f"{name}={_spelled(value)}")]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tempogram.simulator", "--port", str(port), "--until-input-ends"),
        *chosen,
        stdin=asyncio.subprocess.PIPE,  # closed when this process ends, even by a kill
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        url = await _url_of(process)
        async with aiohttp.ClientSession() as session:
            yield RunningSimulator(url, process.pid, session)
    finally:
        await _end(process)


def accepted(calls: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return those that ``Report.accepted`` counts, in the order of arrival: taken, and counted against a limit."""
    return [call for call in calls if call["code"] == 200 and call["cost"]]


def _spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


async def _url_of(process: asyncio.subprocess.Process) -> str:
    line = await asyncio.wait_for(process.stdout.readline(), START_TIMEOUT_S) if process.stdout else b""
    if not line:
        raise RuntimeError("the simulator did not start")
    url: str = msgspec.json.decode(line)["url"]
    return url


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), END_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
