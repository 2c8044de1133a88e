"""The queue: which message goes next, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tempogram.engine.limits.limits import Limits
from tempogram.engine.limits.pool import Connections
from tempogram.engine.model.messages import ChatId, Hold, Lease, Outgoing, PastSend, Priority, Settlement, Spent
from tempogram.engine.ports.explanation import Explanation

BATCH_MAX = 50
"""Messages in one call of any verb; a caller that has more calls again."""

EXPIRED_MAX = 50
"""Expired messages that one call takes out, as every other call waits for it; the next takes more. (Those whose turn
comes in this call are taken out besides.) untuned: 0.2 ms in memory, 2 ms in Redis."""


@dataclass(frozen=True, slots=True)
class Queued:
    """It waits in its lane, or is among the leases of the same admission.

    Attributes:
        instead_of: The older message that it has replaced in its lane; the broker has forgotten that one, record it.
    """

    instead_of: Outgoing | None = None


@dataclass(frozen=True, slots=True)
class Replaced:
    """A newer message that waits already makes it needless; record it. Only messages admitted late meet this."""

    by: str


@dataclass(frozen=True, slots=True)
class Duplicate:
    """This id was admitted before; nothing was done."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Too much waits already: for one chat, or with ``chat_id`` None for the whole bot; nothing was done.

    (Calls of no chat are under the bot's cap only.)
    """

    bot_id: int
    chat_id: ChatId | None
    cap: int


Verdict = Queued | Replaced | Duplicate | Refused


@dataclass(frozen=True, slots=True)
class Leased:
    """What a worker gets.

    Attributes:
        leases: Send them now, settle each before its deadline.
        expired: Their ``expires_at_ms`` has come; the broker has forgotten them, record it.
        wake_at_ms: When something can go next that cannot now; None if only an event can tell
            (then ``wait`` returns). Never later than that time.
        is_kept_back: Something may go, but not by the connections of the worker that asked: it asks again when
            a call of its own ends, or when its shares change.
    """

    leases: tuple[Lease, ...] = ()
    expired: tuple[Outgoing, ...] = ()
    wake_at_ms: int | None = None
    is_kept_back: bool = False


@dataclass(frozen=True, slots=True)
class Admission:
    """One verdict for each message, in their order, and what may go now: usually these very messages."""

    verdicts: tuple[Verdict, ...]
    leased: Leased


@dataclass(frozen=True, slots=True)
class FailingChange:
    """A bot is failing from now on, or no longer.

    Attributes:
        after_ms: Since its first call in vain, when it begins; since it began, when it ends.
    """

    begins: bool
    after_ms: int


@dataclass(frozen=True, slots=True)
class Settled:
    """Whether the lease was still held, and what followed from it: holds, and whether its bot is failing now."""

    held: bool
    holds: tuple[Hold, ...] = ()
    failing: FailingChange | None = None


@dataclass(frozen=True, slots=True)
class QueueStats:
    """How many are open: each counts once. ``retry`` = tried, and waiting to be tried again.

    Leased ones and ones with a later ``ready_at_ms`` count under their priority. ``leased``: None if
    only the ledger could be asked; then nothing is known of single bots, either. ``adapted``: bots
    whose limit a 429 has lowered, and what it is now. ``paid``: places that each bot has paid for in
    the window of its purse, or may have to for what is in flight. ``failing``: since when each bot
    that is failing has been, while anything of it is open.
    """

    waiting: Mapping[Priority, int]
    retry: int
    leased: int | None
    bots: Mapping[int, int] = field(default_factory=dict)
    adapted: Mapping[int, int] = field(default_factory=dict)
    paid: Mapping[int, int] = field(default_factory=dict)
    failing: Mapping[int, int] = field(default_factory=dict)


class Broker(Protocol):
    """A queue for messages that the ledger already has.

    **The rule.** A message waits in its *lane* (bot, chat, priority), ordered by id.
    The head of a lane may go when all of these hold, checked and taken together:

    1.  its ``ready_at_ms`` has come, and its lane waits for no retry;
    2.  no other message of its chat (of this bot) is in flight; the chat is not held;
        the chat's gate has room for its cost, and so has the gate of the user who triggered
        it, if users have a limit (it keeps back what is behind it in its lane, too);
    3.  the bot is not paused and not held, and if it is failing, a trial is due; the bot's gate
        has room; for normal and low the bot's spacing too; and no line of this bot that ranks
        before *saves up*;
    4.  the ceiling's gate has room; for normal and low the ceiling's spacing too;
        and no priority that ranks before saves up for the ceiling.

    Turns are taken in four rounds, each by the lowest pass (see ``fair_queue``): the chats of
    a *line* (a bot's priority; ties: the older head), the lines of a bot, by the shares of the
    priorities, the bots of a priority (ties: the lower bot id), and the priorities (ties: the
    higher). A lease is a turn of its lane, its line in both rounds, and its priority.

    From the lanes for which 1 and 2 hold, each line offers one, its *front*. In each bot the
    lines are asked by rank (see ``FairQueue.rank``): a front that fits stays in the running, one
    that does not and costs 1 is passed over, and one that does not and costs more *saves up*: no
    line behind it stays in. Of the bots left, each priority offers the one whose turn it is,
    and of these the ceiling asks by rank in the same way: the first that fits goes.

    **What is uncounted.** A message of cost 0 takes no place of any limit and stands in an uncounted lane (bot, chat,
    priority), in lines and groups that only such lanes have. Its head may go when its chat and its bot are
    not held, the bot is not paused, and if it is failing, a trial is due: several of one chat are in flight at
    once, nothing waits for them, and one that backs off waits alone. Its turn in the group and among all groups is
    that of a message of cost 1, as it uses a connection. A 429 for it holds as any other, and lowers no limit;
    where it is for no chat that messages go to (``method:…``), it holds only what bears that name. It replaces
    nothing, and none pays for it.

    **What calls keep.** A place of the ceiling is kept from the lease until it is settled, and a connection until
    Telegram has answered, however long that takes. Both are shared out among the bots by one rule (see ``pool``). A
    bot that may take no further one is passed over: the next in its round has the turn, and nothing of it saves up.
    (What is uncounted needs none of the ceiling.)

    **What is paid for.** A message with ``is_paid`` *pays* while its bot's purse has its whole cost left:
    then 3 asks the bot's paid gate instead of its gate and its spacing, and nothing saves up
    but what pays. While the purse has not, it goes like any other, and its lease says so. A line has
    two fronts, one of those with ``is_paid`` and one of the others; the one whose turn it is comes first.

    So an album never starves: when its line ranks first, all others wait until there
    is room for it, at most a window. And an urgent message that comes meanwhile is not kept
    waiting by it, because its line enters at the virtual time, before which none ranks; only a
    second one is, which comes before the album has left.

    **What fails.** A call fails when nothing shows that Telegram has taken it in (``Settlement.alive``). If it is
    counted, its chat is then *failed* until such a call there succeeds, or nothing of it waits or is in flight any
    more; its lanes wait together for the retry. All calls tell of the bot, the uncounted too: a bot is *failing* when
    since its last success at least 5 calls failed, in 2 chats or more, and the first call since then began at least
    2 s ago: any success ends that. Meanwhile each lease is a *trial*, 1, 2, 4, 8, 16, 30, 30 … s after the one before;
    if the last one ends without a call that tells anything, another may begin at once instead. Lanes of chats that have
    not failed are tried first: while one of them may go, none of the others does, and each kind has a time of its own.
    A rebuild forgets all of this.

    **What is replaced.** Of the messages of a chat with the same ``replaces`` that wait, the newest
    gives way to a newer one of the same method, which takes its position in the lane (or, with a
    higher priority, one of its own there); no cap refuses that. What is leased is not replaced, and no
    longer the newest when it comes back to one that is newer.

    A place is taken at the lease and stays taken until it is settled; then it is free again at
    the time at which Telegram counted it + window (+ guard while our count of that chat or bot is in doubt). In
    a bucket it drains from that time.

    **What expires.** A message that has expired is never leased. A call that leases takes out those that expired
    first, ``EXPIRED_MAX`` at most, and then, in place of a lease, each whose turn comes all the same: it has had its
    turn, and takes no place. So a backlog that expires at once keeps nothing else waiting. Until it is taken
    out, a message counts as one that waits, and keeps back what is behind it in its lane.

    **What a 429 lowers.** The limit of its chat, unless only the bot's own count explains it; or that of the bot, if
    a second chat is hit within 2 s, neither near its own limit. It is left with 70 % of what Telegram took in this
    window, not less than ``adapt_least``, and rises only by windows in which it was full, counted from the end of the
    hold: see ``AdaptiveLimit``. New limits forget it, and so do a rebuild and an hour without use. (A user's window is
    empty after a rebuild, too.)

    A verb takes at most ``BATCH_MAX`` messages, leases or ids, and raises ``BrokerUnavailable``
    when the broker cannot be reached, and then has done nothing. Only ``hold``, ``note`` and ``restore``
    take any number, because a start gives all there are; half of any does no harm, as it
    can be given again.
    """

    @property
    def incarnation(self) -> int:
        """Different for every broker that begins empty; part of every lease."""

    async def admit(
        self,
        messages: Sequence[Outgoing],
        *,
        worker_id: str,
        slots: int,
        connections: Connections | None = None,
        capped: bool = True,
    ) -> Admission:
        """Queue messages, then lease up to ``slots`` of whatever may go now.

        ``slots`` 0 only queues: then nothing is found expired either. ``capped`` False is for
        messages that were accepted before (a restart, a replay) and cannot be refused any more.
        """

    async def lease(self, *, worker_id: str, slots: int, connections: Connections | None = None) -> Leased:
        """Lease up to ``slots`` messages by the rule, to each bot what it may have of the worker's connections.

        Without ``connections`` each bot may have all. Cost: O(log n) for each lease and each bot that is passed over
        (at most as many as the pools have places), O(1) for none.
        """

    async def extend(self, leases: Sequence[Lease], *, by_ms: int) -> list[bool]:
        """Move deadlines to ``by_ms`` from now; False for each that is lost."""

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        """End leases. One that is not the latest of its message is not settled; ``held`` is False."""

    async def recover(self, *, worker_id: str, slots: int) -> list[Lease]:
        """Lease messages whose lease expired to the caller, which decides what becomes of them.

        Their places stay taken: they may have been written at the last moment.
        The process that held them before can no longer settle them.
        """

    async def hold(self, holds: Sequence[Hold]) -> None:
        """Set holds. A later deadline replaces an earlier one, never the other way round."""

    async def cancel(self, message_ids: Sequence[str]) -> list[bool]:
        """Forget waiting messages. False for one that is leased or unknown: too late."""

    async def amend(self, messages: Sequence[Outgoing]) -> list[bool]:
        """Change what waits: a message of the same id takes these ``method``, ``params`` and ``ready_at_ms``.

        It keeps its time if ``ready_at_ms`` is ``KEPT_MS``, and its content if ``method`` is ``KEPT_METHOD``: so of two
        callers that change one each, neither undoes what the other did.

        False for one that is leased or unknown: too late. Of an album of which a part was sent meanwhile, what is
        left has another cost than the message that is given here: that is too late, too. Otherwise it waits, and no
        lease that is given from now on has the old content.

        Everything else stays as it is: chat, bot, priority, cost, ``replaces``, expiry, attempts and backoff. (Give
        the message as it was submitted but for these.) One that is ready and remains so keeps its turn. One that
        waited for its time, and is ready now, enters its lane at its position by id; one that is ready no more leaves
        it until then. A message that has spent an attempt keeps its time, which is that of its retry.

        A caller amends here first, and then in the ledger what was True here: a crash in between sends either
        content, and neither was acknowledged. It gives one message contents from one place at a time, or the two
        might keep different ones.
        """

    async def drop(self, bot_id: int, chat_id: ChatId, replaces: str) -> list[Outgoing]:
        """Forget what waits with this ``replaces``, and return it, oldest first; what it changes is gone."""

    async def pause(self, bot_id: int, *, paused: bool) -> None:
        """Lease nothing of a bot, or again. What is in flight goes on; messages are still admitted."""

    async def weigh(self, bot_id: int, weight: int) -> None:
        """Give a bot ``weight`` turns for one of a bot that weighs 1."""

    async def configure(self, limits: Limits) -> bool:
        """Apply these limits from now on; False, and nothing done, if their version is not newer."""

    async def migrate(self, bot_id: int, from_chat_id: ChatId, to_chat_id: ChatId) -> None:
        """Let two ids be one chat: windows, holds and what waits (and comes) for the first go to the second."""

    async def restore(
        self, sends: Sequence[PastSend], *, wait_until_ms: Mapping[int, int], spent: Sequence[Spent] = ()
    ) -> None:
        """Take the places that past sends still occupy and what was spent out of purses; hold each bot until its time.

        Only before the first lease; what was admitted before waits for these places too. A send
        whose time is unknown is given as sent now.
        """

    async def note(self, sends: Sequence[PastSend], *, spent: Sequence[Spent] = ()) -> None:
        """Take the places of past sends, and what was spent, at any time: of calls that a rebuilt queue has missed.

        It opens nothing that waits for ``restore``.
        """

    async def knows(self, message_ids: Sequence[str]) -> list[bool]:
        """Tell which messages wait here or are leased."""

    async def explain(self, message_id: str) -> Explanation | None:
        """Tell why a message still waits; None if it does not wait here (it is leased, or unknown).

        Cost: O(messages of its lane + chats of its bot).
        """

    async def stats(self) -> QueueStats:
        """Count. Cost: O(number of bots)."""

    async def wait(self, until_ms: int | None) -> None:
        """Return at a time, or before it as soon as more may go than the last ``lease`` knew of."""
