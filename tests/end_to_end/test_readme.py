"""What the README tells a reader to do works, and prints what it says."""

from __future__ import annotations

import base64
import re
import sys
from pathlib import Path

from tests import ROOT
from tests.end_to_end.documented import MESSAGE_ID, Command, Shell, commands_in, files_in, is_as_documented
from tests.end_to_end.program import Program, program

README = (ROOT / "README.md").read_text()

ELSEWHERE = ("make ", "docker ", "BEHAVIOURS=", "curl http://127.0.0.1:8000/bot")
"""How commands begin that other tests run: they set up, serve until they are ended, or need servers or the door."""

PIXEL = base64.b64decode("R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==")
TRIES = 10
"""The simulated users write meanwhile: a message of theirs may be on its way when the queue is looked at."""


async def test_every_command_of_the_readme_prints_what_it_says(tmp_path: Path) -> None:
    for name, content in files_in(README).items():
        (tmp_path / name).write_text(content)
    (tmp_path / "sunrise.jpg").write_bytes(PIXEL)
    (tmp_path / ".curlrc").write_text("silent\nshow-error\n")
    async with (
        program(tmp_path, "", BOT_TOKENS="", ADMIN_TOKEN="", BEHAVIOURS="shop", PYTHONPATH=f"{ROOT}:{tmp_path}") as run,
        Shell(tmp_path, {"PYTHONPATH": str(ROOT), "PORT": str(run.port), "CURL_HOME": str(tmp_path)}) as shell,
    ):
        known: dict[str, str] = {}
        for command in commands_in(README):
            if not command.text.startswith(ELSEWHERE):
                await follow(shell, run, command, known)
        assert known, "the README shows no message"


async def follow(shell: Shell, run: Program, command: Command, known: dict[str, str]) -> None:
    """Run a command until it prints what the README says, and note the ids that stand for those in the README."""
    for _ in range(TRIES):
        printed = await shell.run(here(command.text, run, known))
        if is_as_documented(printed, here(command.printed, run, known)):
            break
    else:
        raise AssertionError(f"{command.text}\nprinted\n{printed}\nand not\n{command.printed}")
    known.update(zip(MESSAGE_ID.findall(command.printed), MESSAGE_ID.findall(printed), strict=False))


def here(text: str, run: Program, known: dict[str, str]) -> str:
    """Return a text of the README with the address and the ids of this run."""
    text = text.replace("http://127.0.0.1:8000", run.url).replace(
        ".venv/bin/tempogram", f"{sys.executable} -m tempogram"
    )
    return MESSAGE_ID.sub(lambda found: known.get(found[0], found[0]), text)


async def test_the_start_prints_what_the_readme_shows(tmp_path: Path) -> None:
    (shown,) = (command.printed for command in commands_in(README) if command.text == "make run")
    async with program(tmp_path, "", BOT_TOKENS="", ADMIN_TOKEN="", LOG_FORMAT="conversation") as run:
        await run.until(lambda: has_talked(run), within_s=20)
        output = run.output.read_text().replace(f"{tmp_path}/", "")

    lines = [line for line in shown.splitlines() if not any(mark in line for mark in (STARTING, *ARROWS))]
    missing = [line for line in map(without_addresses, lines) if line.split("…")[0] not in without_addresses(output)]
    assert missing == []


STARTING, ARROWS = "is starting", ("←", "→")
"""A line that only a terminal shows, and lines of a conversation, which chance draws."""


async def has_talked(run: Program) -> bool:
    return all(arrow in run.output.read_text() for arrow in ARROWS)


def without_addresses(text: str) -> str:
    text = re.sub(r"http://127\.0\.0\.1:\d+", "http://…", text)
    return re.sub(r"speak to it .* say", "speak to it  tempogram say", text)  # however it was started
