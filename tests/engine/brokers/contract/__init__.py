"""What every broker promises, as one class that the test of each broker inherits.

Read in this order:

    steps        what tests of a broker do again and again
    windows      no window of a limit ever holds more than its places
    spacing      while a message may go it goes; normal and low leave a bot spaced
    order        a chat's messages leave in order, and one that waits holds up no other chat or bot
    shares       priorities, bots and chats take turns by their shares and weights
    pools        calls that hang keep places of the ceiling and connections, and cost other bots nothing
    holds        a 429 holds its chat, and its bot when the bot is meant
    aimd         a 429 that our count does not explain lowers a limit for a while
    failing      a chat whose calls fail waits for its retry, and a bot whose calls fail is tried now and then
    leases       a lease has one holder, a deadline and a number
    counting     every message counts once, and a verb takes at most a batch
    times        messages leave at their time and expire; a worker learns when to wake
    changes      messages are cancelled, bots paused, and too many waiting messages refused
    amendments   what waits takes another content and another time
    migration    two ids of one chat share its windows, holds and messages
    restart      what was sent and spent before is still counted
    replacement  the newest edit of a message takes the place of an older one
    refused      a call that Telegram refused owes one place at most
    users        a user's limit holds over all chats of a bot
    paid         paid messages have a window and a purse of their own
    uncounted    a call that Telegram does not count takes no place, and obeys holds, pauses and turns
    explain      a message says why it waits
"""

from __future__ import annotations

import pytest

from tempogram.engine.limits.limits import Limits
from tempogram.engine.ports import Broker
from tests.engine.brokers.contract.aimd import AdaptiveLimits
from tests.engine.brokers.contract.amendments import Amendments
from tests.engine.brokers.contract.bursts import Bursts
from tests.engine.brokers.contract.changes import Changes
from tests.engine.brokers.contract.counting import Counting
from tests.engine.brokers.contract.explain import Explain
from tests.engine.brokers.contract.failing import Failing
from tests.engine.brokers.contract.holds import Holds
from tests.engine.brokers.contract.leases import Leases
from tests.engine.brokers.contract.migration import Migration
from tests.engine.brokers.contract.order import Order
from tests.engine.brokers.contract.paid import Paid
from tests.engine.brokers.contract.pools import Pools
from tests.engine.brokers.contract.refused import Refused
from tests.engine.brokers.contract.replacement import Replacement
from tests.engine.brokers.contract.restart import Restart
from tests.engine.brokers.contract.shares import Shares
from tests.engine.brokers.contract.spacing import Spacing
from tests.engine.brokers.contract.steps import UNLIMITED, MakeBroker
from tests.engine.brokers.contract.times import Times
from tests.engine.brokers.contract.uncounted import Uncounted
from tests.engine.brokers.contract.users import Users
from tests.engine.brokers.contract.windows import Windows
from tests.fakes import Clock


class Brokers:
    """What the tests of a broker are given. A test class of a broker gives ``make``."""

    @pytest.fixture
    def make(self, clock: Clock) -> MakeBroker:
        raise NotImplementedError

    @pytest.fixture
    def broker(self, make: MakeBroker) -> Broker:
        return make(Limits())

    @pytest.fixture
    def unlimited(self, make: MakeBroker) -> Broker:
        return make(UNLIMITED)


class BrokerContract(
    Brokers,
    Windows,
    Bursts,
    Spacing,
    Order,
    Shares,
    Pools,
    Holds,
    AdaptiveLimits,
    Failing,
    Leases,
    Counting,
    Times,
    Changes,
    Amendments,
    Migration,
    Restart,
    Replacement,
    Refused,
    Users,
    Paid,
    Uncounted,
    Explain,
):
    """Every promise."""


class ShortContract(Brokers, Order, Leases, Counting, Migration, Replacement):
    """Some promises, where all would take too long."""
