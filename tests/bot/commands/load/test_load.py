"""``tempogram load``, as a user types it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from tempogram.simulator.services.fake_service import FakeService
from tests import ROOT
from tests.forked import type_in


async def load(directory: Path, service: FakeService, *words: str) -> tuple[int, str, str]:
    return await type_in(directory, ["load", "--url", service.url, "--endpoint", "/api/calls", *words])


@pytest.mark.fake_service(count=10, window_ms=60_000)
async def test_a_load_says_that_the_limit_held_and_how_much_of_it_was_used(
    fake_service: FakeService, tmp_path: Path
) -> None:
    words = ["--concurrency", "20", "--requests", "100", "--method", "POST", "--limit", "10", "--window", "60"]
    status, printed, _ = await load(tmp_path, fake_service, *words)

    assert status == 0
    assert printed.startswith(f"POST {fake_service.url}/api/calls: 100 requests, 20 at once\n\n  100 requests in ")
    assert "statuses   200: 10   429: 90" in printed
    assert "held          limit: at most 10 answers but 429s in any 60 s, 10 allowed; 100 % of it used" in printed


@pytest.mark.fake_service(count=10, window_ms=60_000)
async def test_a_limit_that_did_not_hold_is_status_1(fake_service: FakeService, tmp_path: Path) -> None:
    status, printed, _ = await load(tmp_path, fake_service, "--limit", "9", "--window", "60")

    assert status == 1
    assert "did not hold  limit: at most 10 answers but 429s in any 60 s, 9 allowed; 111 % of it used" in printed


async def test_errors_are_status_1_unless_they_are_allowed(fake_service: FakeService, tmp_path: Path) -> None:
    fake_service.fail(times=2)
    refused, _, _ = await load(tmp_path, fake_service, "--requests", "10")
    fake_service.fail(times=2)
    allowed, _, _ = await load(tmp_path, fake_service, "--requests", "10", "--errors-max", "20%")

    assert (refused, allowed) == (1, 0)


async def test_json_is_all_that_is_printed(fake_service: FakeService, tmp_path: Path) -> None:
    status, printed, errors = await load(tmp_path, fake_service, "--requests", "3", "--json")

    assert (status, json.loads(printed)["statuses"], errors) == (0, {"200": 3}, "")


async def test_a_header_is_sent_and_not_printed(fake_service: FakeService, tmp_path: Path) -> None:
    said = await load(tmp_path, fake_service, "--requests", "1", "--header", "Authorization: Bearer secret")
    as_json = await load(
        tmp_path, fake_service, "--requests", "1", "--json", "--header", "Authorization: Bearer secret"
    )

    assert {each.headers["authorization"] for each in fake_service.calls()} == {"Bearer secret"}
    assert "secret" not in f"{said}{as_json}"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--header", "secret"], "tempogram: --header number 1 is none; write one as in 'X-Team: red'\n"),
        (["--errors-max", "few"], "tempogram: --errors-max is 'few'; write a number of requests, or a share"),
        (["--requests", "0"], "Invalid value for '--requests'"),
        (["--url", "shop"], "tempogram: the address must begin with http:// or https://, and have a host\n"),
    ],
)
async def test_wrong_usage_is_status_2(
    fake_service: FakeService, tmp_path: Path, words: list[str], sentence: str
) -> None:
    status, _, errors = await load(tmp_path, fake_service, *words)

    assert status == 2
    assert sentence in errors
    assert fake_service.report().calls == 0


async def test_a_ctrl_c_prints_what_was_seen_so_far(fake_service: FakeService) -> None:
    words = ["load", "--url", fake_service.url, "--endpoint", "/", "--rate", "50", "--duration", "600"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tempogram", *words), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    while fake_service.report().statuses.get(200, 0) < 3:  # noqa: ASYNC110 - another process counts
        await asyncio.sleep(0.02)
    process.send_signal(signal.SIGINT)
    printed, _ = await process.communicate()

    assert process.returncode == 130
    assert "s, interrupted, " in printed.decode()
    assert "statuses   200: " in printed.decode()
