"""What the worker does while the calls of one bot fail, and those of others do not."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from tempogram.engine.limits.failing import FAILING_AFTER_MS, FAILURES_MIN, TRIAL_MS_MIN
from tempogram.engine.model.messages import Lease, Status
from tempogram.engine.model.outcomes import Answer, Failed, Lost, Sent, Uncertain
from tempogram.engine.ports import MayWrite
from tempogram.engine.resilience.backoff import RetryPolicy
from tests.engine.desk import Desk, turns, working
from tests.fakes import outgoing


class PartlyBroken:
    """Answers 500 to some chats of bot 1, and delivers the others."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.broken: set[object] = set()
        self.calls: list[tuple[int, object]] = []

    async def send(self, lease: Lease, may_write: MayWrite) -> Answer:
        assert may_write()
        chat_id = lease.message.chat_id
        self.calls.append((lease.message.bot_id, chat_id))
        is_broken = lease.message.bot_id == 1 and chat_id in self.broken
        outcome = Failed("Internal Server Error", 500) if is_broken else Sent(len(self.calls))
        return Answer(outcome, self._desk.clock())


@pytest.fixture
def desk() -> Desk:
    return Desk(retries=RetryPolicy(retries_max=1_000, delay_ms_min=500, delay_ms_max=500))


async def let_bot_one_fail(desk: Desk) -> PartlyBroken:
    """Let the first calls of bot 1 fail, in chats of their own, until it is failing."""
    transport = desk.delivery._transport = PartlyBroken(desk)
    chats = range(1, 2 * FAILURES_MIN)
    transport.broken = set(chats)
    await desk.accept(*(outgoing(f"bad{chat}", chat_id=chat) for chat in chats))
    await pass_time(desk, FAILING_AFTER_MS + 500)
    assert 1 in (await desk.broker.stats()).failing
    return transport


async def pass_time(desk: Desk, ms: int) -> None:
    for _ in range(ms // 100):
        desk.clock.advance(100)
        desk.broker.ring()
        await turns(60)


async def test_a_bot_that_begins_and_ends_to_fail_is_one_line_each(desk: Desk) -> None:
    async with working(desk.worker):
        with capture_logs() as logs:
            transport = await let_bot_one_fail(desk)
            transport.broken.clear()
            await pass_time(desk, 40_000)

    lines = [line for line in logs if line["event"].startswith("bot_failing")]
    assert [line["event"] for line in lines] == ["bot_failing_began", "bot_failing_ended"]
    assert (lines[0]["bot_id"], lines[0]["reason"]) == (1, "Internal Server Error")
    assert set(desk.ledger.statuses.values()) == {Status.SENT}


async def test_healthy_chats_of_a_bot_get_their_messages_although_many_others_fail(desk: Desk) -> None:
    async with working(desk.worker):
        await let_bot_one_fail(desk)
        await desk.accept(*(outgoing(f"good{chat}", chat_id=chat) for chat in range(100, 110)))
        await pass_time(desk, TRIAL_MS_MIN)

    assert {status for name, status in desk.ledger.statuses.items() if name.startswith("good")} == {Status.SENT}
    assert (await desk.broker.stats()).failing == {}


async def test_other_bots_send_at_once_while_one_is_failing(desk: Desk) -> None:
    async with working(desk.worker):
        transport = await let_bot_one_fail(desk)
        transport.calls.clear()
        await desk.accept(*(outgoing(f"other{chat}", bot_id=2, chat_id=chat) for chat in range(20)))
        desk.broker.ring()
        await turns(300)

    assert [bot_id for bot_id, _ in transport.calls] == [2] * 20


@pytest.mark.parametrize(
    ("answer", "is_cut_off", "is_alive"),
    [(Uncertain("ended"), True, None), (Uncertain("ended"), False, False), (Lost(1), False, None)],
)
async def test_only_an_answer_or_its_absence_tells_of_telegram(
    desk: Desk,
    answer: Uncertain | Lost,
    is_cut_off: bool,  # noqa: FBT001 - pytest names it
    is_alive: bool | None,  # noqa: FBT001
) -> None:
    held = desk.held(await desk.leased(outgoing("a")))
    desk.transport.answers(Answer(answer, desk.clock()))

    answered = await desk.delivery.call(held)
    held.is_cut_off = is_cut_off

    assert answered.is_alive is is_alive
