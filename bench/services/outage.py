"""A service fails, slows down, hangs, answers 429 and is away: who still calls it, and how soon is all well again?

Question    Is a service that is unwell left alone by all processes, and by one alone if only that one cannot reach
            it? Do 429s leave the breaker closed? How long until the full rate, once it is well?
Workload    Four processes over one Redis, 20 calls a second each, whatever becomes of them; the service is switched
            through its moods, and well between them. Then one of four is cut off. Then, without a breaker, 600 calls
            to a service that only fails: ours, and tenacity's and stamina's where they can be imported.
Measured    At the service, and by what each caller got.
Checked     All four stopped within 1 s after two agree; a bounded number of probes; no breaker opened by a 429; calls
            at most 1.1 for each first attempt (in the short phases 3 more for each process, which a service that was
            well gets at once); all well within ``open_ms`` and 1 s, after silent 429s 4 s more; the other three go on
            at 97 % of their rate or more, and none of their calls is refused.

    python -m bench.services.outage [--broken]
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.harness import Checks, main
from bench.services import retriers
from bench.services.caller import SERVICE, Work
from bench.services.callers import Callers, callers
from bench.services.moody_server import Mood, MoodyServer, moody_server
from tempogram.engine.services.calling.retry_quota import SAVED_UP
from tests.chaos.servers import own_redis

PROCESSES = 4
CALLS_PER_S = 20.0
CONCURRENCY = 12
FAILURES = 5
OPEN_MS = 1_000
PROBES = 1
STOPPED_WITHIN_S = 1.0
FIRST_ATTEMPTS = 600


def declared(speed: int, failures: int) -> str:
    """Return what is declared of the service for clocks that go so much faster than the machine's.

    The time in which failures are counted must hold some fifty calls: of fewer, a few failures are so large a share
    that calls are spaced out, and it takes longer until the breaker opens.
    """
    return f"""
[{SERVICE}]
concurrency = {CONCURRENCY}
timeout_s = 0.5
deadline_s = 5
retries = 2
delay_s = 0.1

[{SERVICE}.breaker]
failures = {failures}
within_ms = {2_000 * speed}
open_ms = {OPEN_MS}
slow_ms = 300
slow_rate = 0.5
calls_min = 10
probes = {PROBES}

[{SERVICE}.operations]
ask = {{count = 400, window_ms = 1_000, idempotent = true}}
"""


AWAY = "away"
MOODS: tuple[Mood | str, ...] = (
    Mood.FAILING,
    Mood.SLOW,
    Mood.HANGING,
    Mood.THROTTLING,
    Mood.THROTTLING_SILENTLY,
    AWAY,
)
UNWELL_S, WELL_S = 4.0, 3.0
PAUSED_S = 4.0
"""How much longer a service that says nothing with its 429s is left alone: as long as it was before, at the most."""

THROTTLED = {Mood.THROTTLING, Mood.THROTTLING_SILENTLY}


@dataclass(frozen=True, slots=True)
class Phase:
    """One time in one mood, and the time after it in which the service was well."""

    mood: Mood | str
    began_s: float
    well_s: float
    ended_s: float


@dataclass(frozen=True, slots=True)
class Scene:
    """A service, and those that call it."""

    server: MoodyServer
    callers: Callers
    calls_per_s: float
    speed: int

    @property
    def doors(self) -> range:
        return range(len(self.callers.each))

    @property
    def open_s(self) -> float:
        """Return how long a breaker stays open before it lets probes through."""
        return OPEN_MS / 1_000 / self.speed


async def bench(checks: Checks, broken: bool) -> None:  # noqa: FBT001 - the harness hands it on
    async with scene(failures=0 if broken else FAILURES) as of:
        phases = [
            await unwell(of, mood, unwell_s=UNWELL_S, well_s=WELL_S + PAUSED_S * (mood == Mood.THROTTLING_SILENTLY))
            for mood in MOODS
        ]
        print_table(of, phases)
        for phase in phases:
            check_unwell(checks, of, phase)
        await cut_off(checks, of, cut_s=UNWELL_S, well_s=WELL_S)
    await only_errors(checks, FIRST_ATTEMPTS)


@asynccontextmanager
async def scene(
    processes: int = PROCESSES, calls_per_s: float = CALLS_PER_S, speed: int = 1, failures: int = FAILURES
) -> AsyncIterator[Scene]:
    """Run the service and its callers until the block ends; their clocks go faster than the machine's.

    Broken: 0 failures open no breaker.
    """
    async with own_redis() as redis, moody_server(processes) as server:
        works = [
            Work(
                name=f"caller-{door}",
                url=server.url(door),
                declared=declared(speed, failures),
                redis_url=redis.url,
                calls_per_s={"ask": calls_per_s},
                loops={},
                speed=speed,
            )
            for door in range(processes)
        ]
        async with callers(works) as started:
            await started.all_well()
            await asyncio.sleep(1)
            yield Scene(server, started, calls_per_s, speed)


async def unwell(of: Scene, mood: Mood | str, *, unwell_s: float, well_s: float) -> Phase:
    """Put the service into a mood, and out of it again."""
    began_s = time.time()
    if mood == AWAY:
        await asyncio.gather(*(of.server.shut(door) for door in of.doors))
    else:
        of.server.mood = Mood(mood)
    await asyncio.sleep(unwell_s)
    is_well_s = time.time()
    of.server.mood = Mood.WELL
    if mood == AWAY:
        await asyncio.gather(*(of.server.open(door) for door in of.doors))
    await asyncio.sleep(well_s)
    return Phase(mood, began_s, is_well_s, time.time())


def check_unwell(checks: Checks, of: Scene, phase: Phase) -> None:
    served = of.server.between(phase.began_s, phase.well_s)
    refused = of.callers.between(phase.began_s, phase.well_s, "CircuitOpen")
    if phase.mood in THROTTLED:
        checks.that(not refused, f"{phase.mood}: no breaker was opened by a 429")
        rounds = int(phase.well_s - phase.began_s) + 1
        most = CONCURRENCY * (rounds + 1)
        checks.that(len(served) <= most, f"{phase.mood}: {len(served)} calls in {rounds - 1} s, at most {most}")
    else:
        check_stopped(checks, of, phase)
    check_retries(checks, of, phase)
    late_s = well_again_s(of, phase.well_s, phase.ended_s)
    most_s = of.open_s + 1 + PAUSED_S * (phase.mood == Mood.THROTTLING_SILENTLY)
    checks.that(late_s <= most_s, f"{phase.mood}: all calls were well again after {late_s:.2f} s, at most {most_s:g}")


def check_stopped(checks: Checks, of: Scene, phase: Phase) -> None:
    """Check that all left it alone soon after two had found it unwell, but for probes."""
    opened = sorted(first_open_s(of, number, phase) for number in of.doors)
    took_s = opened[-1] - opened[1] if opened[-1] < phase.well_s else float("inf")
    checks.that(took_s <= STOPPED_WITHIN_S, f"{phase.mood}: all stopped {1_000 * took_s:.0f} ms after two agreed")
    if phase.mood != AWAY and took_s < phase.well_s:
        late = of.server.between(opened[-1] + 0.05, phase.well_s)
        most = len(of.doors) * PROBES * (1 + int((phase.well_s - opened[-1]) / of.open_s))
        checks.that(len(late) <= most, f"{phase.mood}: {len(late)} probes after that, at most {most}")


def first_open_s(of: Scene, number: int, phase: Phase) -> float:
    """Return when a caller was first refused its call; infinity: never."""
    times = (
        ended.at_s
        for ended in of.callers[number].ended
        if ended.outcome == "CircuitOpen" and phase.began_s <= ended.at_s < phase.well_s
    )
    return min(times, default=float("inf"))


def check_retries(checks: Checks, of: Scene, phase: Phase) -> None:
    served = of.server.between(phase.began_s, phase.well_s)
    first = sum(each.attempt == 1 for each in served)
    most = 1.1 * first + int(SAVED_UP) * len(of.doors)
    checks.that(len(served) <= most, f"{phase.mood}: {len(served)} calls, {first} of them first attempts")


def well_again_s(of: Scene, well_s: float, until_s: float) -> float:
    """Return how long after the service was well the last call was refused, or answered otherwise."""
    bad = [ended.at_s for ended in of.callers.between(well_s, until_s) if ended.outcome != "200"]
    return max(bad, default=well_s) - well_s


async def cut_off(checks: Checks, of: Scene, *, cut_s: float, well_s: float) -> None:
    """Cut one process off; the others go on."""
    *others, last = of.doors
    began_s = time.time()
    await of.server.shut(last)
    await asyncio.sleep(cut_s)
    is_well_s = time.time()
    await of.server.open(last)
    await asyncio.sleep(well_s)
    phase = Phase("cut off", began_s, is_well_s, time.time())
    print_table(of, [phase])
    got = [ended for ended in of.callers.between(began_s, is_well_s) if ended.caller in others]
    well = sum(ended.outcome == "200" for ended in got)
    due = int(of.calls_per_s * len(others) * (is_well_s - began_s))
    checks.that(well >= 0.97 * due, f"cut off: the others went on: {well} calls answered of {due} due")
    checks.that(well == len(got), f"cut off: nothing of theirs was refused or failed: {well} of {len(got)}")
    refused_s = first_open_s(of, last, phase) - began_s
    checks.that(refused_s <= 1, f"cut off: the one that is cut off stopped after {refused_s:.2f} s")
    late_s = well_again_s(of, is_well_s, phase.ended_s)
    checks.that(late_s <= of.open_s + 1, f"cut off: its calls were well again after {late_s:.2f} s")


async def only_errors(checks: Checks, first_attempts: int) -> None:
    """Call a service that answers only errors, without a breaker, and with other libraries beside ours."""
    async with moody_server(1) as server:
        server.mood = Mood.FAILING
        async for name, calls in retriers.answers(server, first_attempts):
            if calls is None:
                print(f"  {name} is not installed: left out")
                continue
            print(f"  {name}: {calls} calls for {first_attempts} first attempts, {calls / first_attempts:.2f} for each")
            if name == "ours":
                checks.that(calls <= 1.1 * first_attempts, "ours: at most 1.1 for each")


COLUMNS = f"{'called':>6} {'first':>6} {'retries':>7} {'well':>5} {'refused':>7} {'else':>5}"
LETTERS = {"closed": "c", "half_open": "h", "open": "O"}


def print_table(of: Scene, phases: Sequence[Phase]) -> None:
    """Print each half second: breakers (c closed, h half open, O open), calls at the service, answers to callers."""
    print(f"  {'s':>5} {'service':<18} breakers {COLUMNS}")
    start_s = phases[0].began_s
    for phase in phases:
        at_s = phase.began_s
        while at_s < phase.ended_s - 0.25:
            mood = str(phase.mood) if at_s < phase.well_s - 0.25 else "well"
            print(f"  {at_s - start_s:5.1f} {mood:<18} {row(of, at_s, at_s + 0.5)}")
            at_s += 0.5


def row(of: Scene, from_s: float, to_s: float) -> str:
    served, ended = of.server.between(from_s, to_s), of.callers.between(from_s, to_s)
    states = "".join(LETTERS[each.state_at(to_s)] for each in of.callers)
    first = sum(each.attempt == 1 for each in served)
    well = sum(each.outcome == "200" for each in ended)
    refused = sum(each.outcome == "CircuitOpen" for each in ended)
    calls = f"{len(served):6} {first:6} {len(served) - first:7}"
    return f"{states:<8} {calls} {well:5} {refused:7} {len(ended) - well - refused:5}"


if __name__ == "__main__":
    main("A service is unwell: is it left alone, and how soon is all well again?", bench)
