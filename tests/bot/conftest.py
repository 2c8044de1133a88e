"""What most of these tests work with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tempogram.bot.calls.gateway import Gateway
from tempogram.bot.fleet.fleet import Fleet
from tempogram.bot.telegram.attachments import Attachments
from tempogram.bot.telegram.composer import MethodComposer
from tempogram.engine.model.ids import Ids
from tempogram.storage.database.database import Database
from tests.bot.fakes import TOKEN, AcceptingDispatcher, DictUploads, DirectSession, TokenList, attaching
from tests.bot.fleet_world import World, fleet_world
from tests.bot.gateways import accepting_gateway, under_every_bot
from tests.fakes import Clock


@pytest.fixture
def composer(clock: Clock) -> MethodComposer:
    return MethodComposer(clock=clock, ids=Ids(process=1))


@pytest.fixture
def attachments(tmp_path: Path) -> Attachments:
    return attaching(DictUploads(), tmp_path)


@pytest.fixture
def direct() -> DirectSession:
    return DirectSession()


@pytest.fixture
def tokens() -> TokenList:
    return TokenList()


@pytest.fixture
def accepting() -> AcceptingDispatcher:
    return AcceptingDispatcher()


@pytest.fixture
def gateway(
    composer: MethodComposer, attachments: Attachments, accepting: AcceptingDispatcher, tokens: TokenList
) -> Gateway:
    return accepting_gateway(accepting, composer, attachments=attachments, tokens=tokens)


@pytest.fixture
def installed(gateway: Gateway) -> Iterator[None]:
    """Our session under every bot, for one test."""
    with under_every_bot(gateway):
        yield


@pytest.fixture
async def world(database: Database, clock: Clock) -> AsyncIterator[World]:
    async with fleet_world(database, clock) as world:
        yield world


@pytest.fixture
async def fleet(world: World) -> Fleet:
    fleet = world.new_fleet()
    await fleet.add(TOKEN, None)
    return fleet
