"""The simulator as a process of its own: prints its address as one JSON line, serves until SIGTERM or SIGINT.

python -m tempogram.simulator --port 8081 --set group_window_ms=10000 --set bot_limit=0
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence

from tempogram.simulator.server.server import Simulator
from tempogram.simulator.settings import SimulatorSettings, settings_with


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT."""
    options = _parser().parse_args(arguments)
    try:
        settings = settings_with(SimulatorSettings(), dict(_pair(given) for given in options.set))
    except ValueError as error:
        sys.stderr.write(f"simulator: {error}\n")
        return 2
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(
            serve(
                settings,
                host=options.host,
                port=options.port,
                talk_every_ms=options.talk_every_ms,
                until_input_ends=options.until_input_ends,
            )
        )
    return 0


async def serve(
    settings: SimulatorSettings, *, host: str, port: int, talk_every_ms: int = 0, until_input_ends: bool = False
) -> None:
    """Serve until a signal ends the process; the address goes to standard output.

    ``until_input_ends``: also until standard input is closed, as a parent that is killed closes it.
    """
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    if until_input_ends:
        loop.add_reader(sys.stdin.fileno(), stopping.set)  # nothing is ever written to it
    simulator = Simulator(settings)
    async with simulator.serve(host=host, port=port) as served:
        if talk_every_ms:
            await simulator.scripted_users.start(mean_interval_ms=talk_every_ms)
        sys.stdout.write(json.dumps({"url": served.url}) + "\n")
        sys.stdout.flush()
        await stopping.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tempogram.simulator", description="A stand-in for Telegram.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any setting")
    parser.add_argument("--until-input-ends", action="store_true", help="end when standard input is closed")
    parser.add_argument("--talk-every-ms", type=int, default=0, help="users talk at this mean interval")
    return parser


def _pair(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not equals:
        raise ValueError(f"--set takes NAME=VALUE, not {given!r}")
    return name, value


def loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    """Prefer uvloop, which leaves more of a shared core to the program under test."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop


if __name__ == "__main__":
    sys.exit(main())
