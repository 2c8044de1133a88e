"""The mission's two examples of bulk work, killed in the middle and started again: is anything lost or done twice?

Question    Does a named ``map_limited`` that is killed with SIGKILL do every item, and which does it do again? And does
            it keep a million items in memory?
Workload    SMS to contacts, 5 at once, 1 a second (the mission's pLimit(5)); and updates in batches of 10 with 100 ms
            between, under Quickbase's 5 a second for records. A program with SQLite calls the strict server, which
            answers after 300 to 500 ms and fails one call in twenty. It is killed twice, each time a seeded moment
            after a seeded number of calls, and started again. Then a million items from a generator, a million
            from an asynchronous one, and 200,000 with a name, taken one by one.
Measured    At the server: how often each contact arrived. Of the program: what it reports at its end. RSS of a process
            after 50,000 items and at the end.
Checked     No limit is broken. Every contact arrives, or is reported as uncertain; at most what was under way (5; of
            batches 1) arrives twice, and with at most once none. Each call that failed and was not repeated is in the
            report. Between the answer to a batch and the next one pass 100 ms. RSS grows by less than 8 MB.

    python -m bench.services.bulk_kills [--seed 1] [--short]
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

from bench.harness import Checks, main
from bench.services.processes import StrictServer, go_first, running, strict_server
from bench.services.shipped_limits import first_call, judge
from tempogram import BulkReport, Tempogram, batches, map_limited, services

CONCURRENCY = 5
WITHIN_S = 240.0
MANY, MANY_NAMED, WARM = 1_000_000, 200_000, 50_000
GROWTH_MAX_MB = 8.0

SMS = {"name": "sms", "prefix": "/", "count": 1, "window_ms": 1_000, "concurrency": 10}
RECORDS = {"name": "records", "prefix": "/", "count": 5, "window_ms": 1_000, "concurrency": 5}


@dataclass(frozen=True, slots=True)
class Example:
    """One of the mission's.

    Attributes:
        items: Calls that it makes when nothing fails.
        repeated_max: Items that may be under way at a kill.
        faster: Its limit allows so many times as much.
        failures: Share of calls that fail; while many do, they are spaced out.
        hold_ms: From a call's arrival to its answer.
    """

    name: str
    kind: str
    guarantee: str
    rule: dict[str, Any]
    items: int
    repeated_max: int
    faster: int = 1
    failures: float = 0.05
    hold_ms: tuple[float, float] = (300, 500)

    @property
    def rules(self) -> list[dict[str, Any]]:
        return [self.rule | {"window_ms": self.rule["window_ms"] / self.faster}]

    @property
    def declared(self) -> str:
        """Return the same for the program."""
        service = {"sms": "twilio", "records": "quickbase"}[self.kind]
        window_ms = round(self.rule["window_ms"] / self.faster)
        return f"[{service}.operations]\n{self.kind} = {{count = {self.rule['count']}, window_ms = {window_ms}}}\n"


EXAMPLES = (
    Example("SMS, at least once", "sms", "at_least_once", SMS, 30, CONCURRENCY),
    Example("SMS, at most once", "sms", "at_most_once", SMS, 30, CONCURRENCY),
    Example("batches of 10, at least once", "records", "at_least_once", RECORDS, 40, 1),
)


async def bench(checks: Checks, broken: bool) -> None:  # noqa: ARG001, FBT001 - nothing here can leak
    go_first()
    seed, is_short = option("--seed", 1), "--short" in sys.argv
    chance = random.Random(seed)
    print(f"  seed {seed}")
    async with strict_server() as server:
        for example in EXAMPLES:
            kills = 1 if is_short else 2
            await judge_example(checks, server, example, [chance.random() for _ in range(kills)])
    if not is_short:
        await judge_memory(checks)


async def judge_example(checks: Checks, server: StrictServer, example: Example, kills: list[float]) -> None:
    """Kill it at each of the moments, as shares of its calls, and let it end."""
    seed = round(1_000 * kills[0])
    manner = {"hold_ms": example.hold_ms, "failures": example.failures}
    await server.begin({"rules": example.rules, "manner": manner, "seed": seed})
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "services.toml").write_text(example.declared, encoding="utf-8")
        for share in kills:
            made = sum((await server.report())["calls"].values())
            calls = made + 1 + round(share * example.items / 6)
            await killed(server, example, directory, after_calls=calls, then_s=share * 0.8 / example.faster)
        said = await ended(server, example, directory)
    report = await server.report()
    kill_count = len(kills)
    print(f"  {example.name}: {kill_count} kills, answers {report['statuses']}, {said['counts']}")
    judge(checks, example.rule["name"], report["limits"][example.rule["name"]])
    judge_items(checks, example, report, said, kill_count)
    if example.kind == "records":
        judge_pauses(checks, report)


def judge_items(
    checks: Checks, example: Example, report: dict[str, Any], said: dict[str, Any], kill_count: int
) -> None:
    calls = {int(item): count for item, count in report["calls"].items()}
    uncertain = set(said["uncertain"])
    missing = set(range(example.items)) - set(calls)
    repeated = sum(count - 1 for count in calls.values())
    ended_count = said["counts"]["ended"]
    checks.that(ended_count == example.items, f"    {ended_count} of {example.items} items have ended")
    if example.guarantee == "at_most_once":
        checks.that(repeated == 0, f"    {repeated} arrived twice")
        checks.that(missing <= uncertain, f"    {len(missing)} never arrived; {len(uncertain)} are named as uncertain")
        allowed = example.repeated_max * kill_count
        checks.that(len(uncertain) <= allowed, f"    {len(uncertain)} are uncertain, at most {allowed} may be")
    else:
        allowed = example.repeated_max * kill_count
        checks.that(not missing, f"    {len(missing)} never arrived")
        checks.that(repeated <= allowed, f"    {repeated} arrived again, at most {allowed} may: what was under way")
        again = {item for item, count in calls.items() if count > 1}
        checks.that(again <= uncertain, f"    of those {len(again & uncertain)} are named as having been under way")
    last = {int(item): status for item, _, status in report["answered"]}
    failed = {item for item, status in last.items() if status != httpx.codes.OK} - uncertain
    listed = set(said["failures"]) - uncertain
    checks.that(failed == listed, f"    {len(failed)} failed at the server, {len(listed)} are in the report")


def judge_pauses(checks: Checks, report: dict[str, Any]) -> None:
    """Check that the pause was kept, but for the calls around a kill, whose connection went with the program."""
    spans = sorted(report["limits"]["records"]["spans"])
    pauses_ms = [later[0] - earlier[1] for earlier, later in pairwise(spans)]
    checks.that(min(pauses_ms) >= 100, f"    at least {min(pauses_ms):.0f} ms from a batch's answer to the next batch")


async def killed(server: StrictServer, example: Example, directory: str, *, after_calls: int, then_s: float) -> None:
    async with running(*words(example, server, directory)):
        await first_call(server, calls=after_calls)
        await asyncio.sleep(then_s)


async def ended(server: StrictServer, example: Example, directory: str) -> dict[str, Any]:
    async with running(*words(example, server, directory)) as process:
        assert process.stdout is not None
        async with asyncio.timeout(WITHIN_S):
            return dict(json.loads((await process.stdout.read()).splitlines()[-1]))


def words(example: Example, server: StrictServer, directory: str) -> tuple[str, ...]:
    items = str(example.items)
    return ("bench.services.bulk_kills", "--as", example.kind, server.url, directory, items, example.guarantee)


async def judge_memory(checks: Checks) -> None:
    for source in ("generator", "asynchronous generator", "generator, with a name"):
        with tempfile.TemporaryDirectory() as directory:
            async with running("bench.services.bulk_kills", "--memory", source, directory) as process:
                assert process.stdout is not None
                said = json.loads((await process.stdout.read()).splitlines()[-1])
        grown = (
            f"RSS {said['warm_mb']:.1f} MB after {WARM:,} of {said['items']:,} items, {said['end_mb']:.1f} at the end"
        )
        checks.that(said["end_mb"] - said["warm_mb"] < GROWTH_MAX_MB, f"  {source}: {grown}; {said['us']:.0f} µs each")


# What follows is the program.


async def campaign(kind: str, url: str, directory: str, items: str, guarantee: str) -> dict[str, Any]:
    """Be the program, and return what it reports."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as client, Tempogram(data_dir=Path(directory)):

        async def call(item: int) -> None:
            (await client.get("/", headers={"x-client": str(item)})).raise_for_status()

        async def send(contact: int) -> None:
            await services.call("twilio", "sms", call, contact)

        async def update(batch: list[int]) -> None:
            await services.call("quickbase", "records", call, batch[0] // 10)

        report: BulkReport[Any, None]
        if kind == "sms":
            report = await map_limited(
                send, range(int(items)), CONCURRENCY, name="campaign-7", guarantee=guarantee, progress="Sending"
            )
        else:
            all_updates = batches(range(10 * int(items)), size=10, pause_ms=100)
            report = await map_limited(update, all_updates, 1, name="update-7", guarantee=guarantee)
    return {
        "counts": {"ended": report.counts.ended, "failed": report.counts.failed, "before": report.counts.before},
        "failures": [each.index for each in report.failures],
        "uncertain": [each.index for each in report.uncertain],
    }


async def many(source: str, directory: str) -> dict[str, float]:
    """Be the program that has many items."""
    name = "many" if "name" in source else None
    count = MANY_NAMED if name else MANY
    if name is None:
        return await _many(source, count, None)
    async with Tempogram(data_dir=Path(directory)):
        return await _many(source, count, name)


async def _many(source: str, count: int, name: str | None) -> dict[str, float]:
    numbers = later(count) if source.startswith("asynchronous") else now(count)
    seen, warm_mb, began_s = 0, 0.0, asyncio.get_running_loop().time()
    async for _ in map_limited(nothing, numbers, name=name):
        seen += 1
        if seen == WARM:
            warm_mb = rss_mb()
    assert seen == count
    took_s = asyncio.get_running_loop().time() - began_s
    return {"items": count, "warm_mb": warm_mb, "end_mb": rss_mb(), "us": 1e6 * took_s / count}


async def nothing(number: int) -> str:
    return f"{number}" * 20


def now(count: int) -> Iterator[int]:
    yield from range(count)


async def later(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


def rss_mb() -> float:
    """Return the memory of this process in use now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def option(word: str, default: int) -> int:
    return int(sys.argv[sys.argv.index(word) + 1]) if word in sys.argv else default


if __name__ == "__main__":
    if "--as" in sys.argv:
        print(json.dumps(asyncio.run(campaign(*sys.argv[2:7]))))
    elif "--memory" in sys.argv:
        print(json.dumps(asyncio.run(many(*sys.argv[2:4]))))
    else:
        main("The mission's bulk work, killed and started again: is anything lost or done twice?", bench)
