from __future__ import annotations

import asyncio

import pytest

from bench.services.counting_server import CountingServer, Rule, counting_server, over, overtaken, too_near


@pytest.mark.parametrize(
    ("times_s", "above"),
    [([0.0, 0.5, 1.0, 1.5], 0), ([0.0, 0.5, 0.999], 1), ([0.9, 0.95, 1.0, 1.05], 2), ([0.0, 0.1], 0)],
)
def test_a_call_above_the_count_is_found_wherever_its_window_begins(times_s: list[float], above: int) -> None:
    assert over(times_s, Rule(count=2, window_s=1.0)) == above


def test_calls_that_are_exactly_apart_are_not_too_near() -> None:
    assert too_near([0.0, 0.25, 0.5, 0.6], Rule(apart_s=0.25)) == 1


def test_each_call_that_arrives_after_a_later_one_was_overtaken() -> None:
    assert overtaken([3, 0, 1, 4, 2]) == 3


@pytest.mark.parametrize(
    "rule",
    [Rule(count=2, window_s=60.0), Rule(count=0, apart_s=60.0), Rule(concurrency=1)],
    ids=["count", "apart", "at once"],
)
async def test_a_server_that_refuses_answers_429_and_does_not_count_what_it_refused(rule: Rule) -> None:
    async with counting_server(rule, answer_s=0.05, refuses=True) as server:
        statuses = await asyncio.gather(*(status(server, number) for number in range(4)))

    assert statuses.count(429) == server.refused == 4 - len(server.arrived)
    assert len(server.arrived) == (rule.count or 1)


async def test_a_server_that_only_counts_takes_everything() -> None:
    async with counting_server(Rule(count=1), answer_s=0.05) as server:
        statuses = await asyncio.gather(*(status(server, number) for number in range(3)))

    assert statuses == [200] * 3
    assert server.most_at_once == 3
    assert over(server.times_s, server.rule) == 2


async def status(server: CountingServer, number: int) -> int:
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET /{number} HTTP/1.1\r\n\r\n".encode())
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])
