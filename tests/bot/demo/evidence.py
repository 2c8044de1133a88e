"""Made-up evidence of a demo: ten messages, one of them refused, one sent twice over the kill; a broadcast, digests."""

from __future__ import annotations

from typing import Any

from tempogram.bot.demo.judge import Evidence, Expected, Kind, Outage
from tempogram.simulator.limits.windows import Busiest
from tempogram.simulator.report import Report

OUTAGE = Outage(killed_at_ms=5_000, back_at_ms=9_000)
BLOCKED = (1, 107)


def asked(kind: Kind, chat_id: int, text: str, *, at_ms: float = 1_000) -> Expected:
    return Expected(kind, 1, chat_id, text, at_ms)


def call(message: Expected, at_ms: float, *, code: int = 200) -> dict[str, Any]:
    return {
        "bot_id": message.bot_id,
        "chat_id": message.chat_id,
        "text": message.text,
        "wall_ms": at_ms,
        "code": code,
        "cost": 1 if code == 200 else 0,
        "message_id": 1,
    }


BULK = [asked(Kind.BULK, 100 + number, f"news {number}") for number in range(8)]
URGENT = asked(Kind.URGENT, 200, "urgent 0", at_ms=2_000)
ANSWER = asked(Kind.ANSWER, -1, "Ada, I heard you.", at_ms=6_000)

CAST = [asked(Kind.BROADCAST, 300 + number, f"spring for {number}") for number in range(3)]
DIGESTS = [asked(Kind.DIGEST, 400 + number, "Changed", at_ms=6_000) for number in range(2)]

CALLS = [
    *(call(each, 1_500 + 500 * number) for number, each in enumerate(BULK[:7])),
    call(URGENT, 2_250),
    call(BULK[7], 4_980, code=403),
    call(BULK[6], 9_990),  # again: it came at 4,500 ms, and the kill at 5,000
    call(ANSWER, 10_000),
    *(call(each, 10_100 + number) for number, each in enumerate(CAST[:2])),
    *(call(each, 10_200 + number) for number, each in enumerate(DIGESTS)),
]
REPORT: dict[str, Any] = {
    "calls": 11,
    "accepted": 10,
    "places": 10,
    "by_code": {"200": 10, "403": 1, "429": 2, "503": 1},
    "by_method": {"sendMessage": 11},
    "lost": {},
    "accepted_by_second": [],
    "first_at_ms": 0.0,
    "busiest_bot": Busiest(3, 1),
    "busiest_group": Busiest(1, 1, -1),
    "busiest_total": Busiest(3),
    "violations": {},
    "violations_listed": [],
    "throttled": {"ordered": 2},
    "faults_ordered": 3,
    "duplicates": 1,
    "duplicates_listed": [],
    "out_of_order": 0,
    "updates_pending": 0,
}
STATS = {"high": 0, "normal": 0, "low": 0, "retry": 0, "dlq": 1}


OUTCOMES = {"sent": 2, "uncertain": 1}


def evidence(
    *,
    calls: list[dict[str, Any]] = CALLS,
    stats: dict[str, int] = STATS,
    outcomes: dict[str, int] = OUTCOMES,
    outage: Outage = OUTAGE,
    **report: Any,
) -> Evidence:
    return Evidence(
        expected=[*BULK, URGENT, ANSWER, *CAST, *DIGESTS],
        calls=calls,
        report=Report(**REPORT | report),
        stats=stats,
        broadcast={"outcomes": outcomes},
        outage=outage,
        blocked=BLOCKED,
        urgent_within_ms=1_000,
        ceiling=30,
        faults=3,
    )
