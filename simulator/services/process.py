"""The strict service as a process of its own: prints its address as one JSON line, serves until SIGTERM or SIGINT.

python -m tempogram.simulator.services.process --port 8090 --count 10 --window-ms 1000
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence

from tempogram.simulator.process import loop_factory
from tempogram.simulator.services.fake_service import FakeSettings, rules_of
from tempogram.simulator.services.server import Server
from tempogram.simulator.services.words import FORMS

NICE = -5
"""So that the arrival of a request is noted when it arrives, also on a busy machine; refused to all but root."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT."""
    options = vars(_parser().parse_args(arguments))
    host, port = options.pop("host"), options.pop("port")
    try:
        server = Server(rules_of(FakeSettings(**options)))
    except ValueError as error:
        sys.stderr.write(f"service: {error}\n")
        return 2
    with contextlib.suppress(OSError):
        os.nice(NICE)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve(server, host=host, port=port))
    return 0


async def serve(server: Server, *, host: str, port: int) -> None:
    """Serve until a signal ends the process; the address goes to standard output."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with server.serve(host, port) as url:
        sys.stdout.write(json.dumps({"url": url}) + "\n")
        sys.stdout.flush()
        await stopping.wait()


def _parser() -> argparse.ArgumentParser:
    plain = FakeSettings()
    parser = argparse.ArgumentParser(
        prog="python -m tempogram.simulator.services.process", description="A stand-in for any service with limits."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--count", type=int, default=plain.count, help="calls in any window; 0: any number")
    parser.add_argument("--window-ms", type=int, default=plain.window_ms)
    parser.add_argument("--concurrency", type=int, default=plain.concurrency, help="calls at once; 0: any number")
    parser.add_argument("--apart-ms", type=int, default=plain.apart_ms, help="between two arrivals")
    parser.add_argument("--tokens", type=int, default=plain.tokens, help="tokens in any window; 0: any number")
    parser.add_argument("--form", default=plain.form, help=f"of what it says of its limits: {', '.join(FORMS)}")
    parser.add_argument("--takes-ms", type=float, default=plain.takes_ms, help="for an answer")
    parser.add_argument("--failures", type=float, default=plain.failures, help="share of calls answered with 500")
    return parser


if __name__ == "__main__":
    sys.exit(main())
