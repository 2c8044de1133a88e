"""Runs every benchmark, one after another; status 1 if one failed its own checks."""

from __future__ import annotations

import signal
import subprocess
import sys

from bench.clean_exit import ENDED_BY_SIGTERM

BENCHES = (
    "one_bot",
    "flooded_group",
    "urgent",
    "killed",
    "throttled_chat",
    "failing_bots",
    "ledger",
    "identity",
    "key_rotation",
    "memory_broker",
    "redis_core",
    "crowded",
    "mass_work",
    "load",
    "hanging_bots",
    "idle",
    "services.overhead",
    "services.outage",
    "services.killed",
    "scheduler.contest",
)


def run() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ENDED_BY_SIGTERM))
    failed = [name for name in BENCHES if status_of(name)]
    print(f"failed: {', '.join(failed)}" if failed else "all benchmarks passed their own checks")
    return 1 if failed else 0


def status_of(name: str) -> int:
    """Run one to its end. A SIGTERM meanwhile is passed on, so that it can stop what it started."""
    bench = subprocess.Popen([sys.executable, "-m", f"bench.{name}"])
    try:
        return bench.wait()
    finally:
        bench.terminate()
        bench.wait()


if __name__ == "__main__":
    sys.exit(run())
