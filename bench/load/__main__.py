"""``python -m bench.load [--roles] [--ceiling 0] [--seconds 60] [--seed 1]``; status 1 if a check failed."""

from __future__ import annotations

import argparse

from bench.harness import Checks, has_roles, main, quantile
from bench.load.plan import LoadPlan
from bench.load.result import Result, most_lost, quantiles
from bench.load.run import run
from bench.load.usage import queued_over_time

LATE_MS = 20
"""The load is not the bottleneck if it comes to 99 % of the updates within this time."""

ALL_MS, HIGH_MS = 250, 500
"""p99 without a ceiling; p99 of high priority with one."""

USED_SHARE, REST_MS = 0.97, 2_000


async def bench(checks: Checks, broken: bool) -> None:  # noqa: FBT001 - the harness hands it on
    plan = asked()
    done = await run(plan, broken=broken)
    result = done.result
    print(f"  the load was late by {quantiles(result.late_ms)}")
    print(f"  200 of the webhook after {quantiles(result.taken_ms)}")
    print(f"  answer at Telegram after {quantiles(result.after_ms())}")
    print(f"    high {quantiles(result.after_ms(is_addressed=True))}")
    print(f"    normal {quantiles(result.after_ms(is_addressed=False))}")
    print(f"  last answer {result.last_ms / 1_000:.1f} s after the beginning")
    print(f"  queued at {queued_over_time(done.usage.samples, every_s=5)}")
    for line in done.usage.lines():
        print(f"  {line}")
    judge(checks, plan, result)


def judge(checks: Checks, plan: LoadPlan, result: Result) -> None:
    planned = len(result.delivered)
    late_ms = quantile(result.late_ms, 0.99)
    checks.that(late_ms <= LATE_MS, f"the load kept its plan: {late_ms:.1f} ms late at p99, at most {LATE_MS}")
    checks.that(not result.redelivered, f"each update was taken at once: {result.redelivered} came again")
    checks.that(not result.lost, f"{len(result.answered)} of {planned} answered, lost: {most_lost(result.lost)}")
    checks.that(not result.duplicates, f"{result.duplicates} answered twice")
    checks.that(not result.unasked, f"{result.unasked} answers to nothing")
    checks.that(result.report.out_of_order == 0, f"{result.report.out_of_order} out of order")
    checks.that(not result.throttled, f"{result.throttled} x 429")
    checks.that(result.report.broke_no_window, f"no window broken: {result.report.violations}")
    if plan.ceiling:
        judge_with_ceiling(checks, plan, result)
    else:
        all_ms = quantile(result.after_ms(), 0.99)
        checks.that(all_ms <= ALL_MS, f"p99 of all is {all_ms:.0f} ms, at most {ALL_MS}")


def judge_with_ceiling(checks: Checks, plan: LoadPlan, result: Result) -> None:
    high_ms = quantile(result.after_ms(is_addressed=True), 0.99)
    checks.that(high_ms <= HIGH_MS, f"p99 of high is {high_ms:.0f} ms, at most {HIGH_MS}")
    if plan.rate <= plan.ceiling:
        return
    share = result.busy_share(plan.ceiling)
    checks.that(share >= USED_SHARE, f"{share:.1%} of the ceiling used, at least {USED_SHARE:.0%}")
    until_ms = len(result.delivered) / plan.ceiling / USED_SHARE * 1_000 + REST_MS
    checks.that(result.last_ms <= until_ms, f"the last after {result.last_ms:.0f} ms, at most {until_ms:.0f}")


def asked() -> LoadPlan:
    parser = argparse.ArgumentParser(prog="python -m bench.load")
    parser.add_argument("--ceiling", type=int, default=0, help="answers a second over all bots, 0 for any number")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    known = parser.parse_known_args()[0]
    return LoadPlan(seconds=known.seconds, seed=known.seed, ceiling=known.ceiling)


if __name__ == "__main__":
    print(f"  {'as roles' if has_roles() else 'embedded'}, ceiling {asked().ceiling or 'none'}")
    main("50 bots, 100 users, 50 updates a second by webhook: how soon is each answered?", bench)
