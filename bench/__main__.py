"""Runs every benchmark, one after another; status 1 if one failed its own checks."""

from __future__ import annotations

import subprocess
import sys

BENCHES = (
    "one_bot",
    "flooded_group",
    "urgent",
    "killed",
    "throttled_chat",
    "ledger",
    "memory_broker",
    "redis_core",
    "crowded",
)


def run() -> int:
    failed = [
        name for name in BENCHES if subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode
    ]
    print(f"failed: {', '.join(failed)}" if failed else "all benchmarks passed their own checks")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run())
