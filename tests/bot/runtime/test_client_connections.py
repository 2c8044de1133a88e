"""Connections are bounded in number, and a newcomer is served all the same."""

from __future__ import annotations

from structlog.testing import capture_logs

from tempogram.bot.runtime.client_connections import ClientConnections

ANNA, BORIS = "192.0.2.1", "192.0.2.2"


class Seconds:
    """A clock to advance."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Connection:
    """Notes that it had to give way."""

    def __init__(self) -> None:
        self.is_closed = False

    def give_way(self) -> None:
        self.is_closed = True


class World:
    """Connections to a server that takes three."""

    def __init__(self) -> None:
        self.clock = Seconds()
        self.connections = ClientConnections(3, self.clock)
        self.all: list[Connection] = []

    def connect(self, host: str = ANNA, *, waits_s: float | None = 20) -> bool:
        connection = Connection()
        self.all.append(connection)
        has_room = self.connections.add(connection, host)
        if waits_s is not None:
            self.connections.wait(connection, waits_s)
        return has_room

    @property
    def closed(self) -> list[int]:
        return [number for number, each in enumerate(self.all) if each.is_closed]


def test_a_newcomer_takes_the_place_of_the_one_that_would_have_to_end_first() -> None:
    world = World()
    world.connect(waits_s=75)
    world.connect(waits_s=20)
    world.clock.now_s = 10
    world.connect(waits_s=20)

    assert world.connect()
    assert world.closed == [1]


def test_a_connection_whose_request_is_worked_on_is_not_closed() -> None:
    world = World()
    world.connect(waits_s=20)
    world.connect(waits_s=20)
    world.connect(waits_s=20)
    world.connections.work(world.all[0])

    assert world.connect()
    assert world.closed == [1]


def test_a_newcomer_is_refused_where_each_request_is_worked_on() -> None:
    world = World()
    for _ in range(3):
        world.connect(waits_s=None)

    assert not world.connect(waits_s=1)
    assert world.closed == []


def test_what_is_being_refused_makes_room_first() -> None:
    world = World()
    for _ in range(3):
        world.connect(waits_s=None)
    world.connect(waits_s=1)

    assert world.connect()
    assert world.closed == [3]


def test_a_crowd_from_one_address_is_closed_before_the_connection_of_another() -> None:
    world = World()
    world.connect(BORIS, waits_s=1)
    world.connect(ANNA)
    world.connect(ANNA)

    world.connect(ANNA)
    world.connect(ANNA)

    assert world.closed == [1, 2]


def test_a_connection_that_ended_by_itself_leaves_its_place() -> None:
    world = World()
    for _ in range(3):
        world.connect()
    world.connections.remove(world.all[1])

    assert world.connect()
    assert world.closed == []


def test_a_crowd_is_logged_once_a_minute() -> None:
    world = World()
    with capture_logs() as lines:
        for _ in range(10):
            world.connect()
        world.clock.now_s = 60
        world.connect()

    assert [(each["event"], each["closed"]) for each in lines] == [("connections_full", 1), ("connections_full", 7)]
