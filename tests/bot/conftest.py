"""What most of these tests work with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bot import session
from bot.attachments import Attachments
from bot.composer import MethodComposer
from bot.session import Gateway
from engine.ids import Ids
from engine.memory_results import MemoryResults
from storage.database import Database
from tests.bot.fakes import AcceptingDispatcher, DictUploads, DirectSession, TokenList, attaching
from tests.fakes import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


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
    """Whose engine accepts everything and sends nothing; whoever awaits a call waits for nothing."""
    return Gateway(
        dispatcher=accepting,  # type: ignore[arg-type]
        composer=composer,
        attachments=attachments,
        results=MemoryResults(),
        tokens=tokens,
        wait_s=0,
    )


@pytest.fixture
def installed(gateway: Gateway) -> Iterator[None]:
    """Our session under every bot, for one test."""
    remove = session.install(gateway)
    yield
    remove()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(f"sqlite:///{tmp_path / 'books.db'}")
    yield database
    await database.close()
