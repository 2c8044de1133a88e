"""One chat has a part of what is free, so that any number of full ones leaves some to the others."""

from __future__ import annotations

from collections import deque

import pytest

from tempogram.bot.updates.chat_bound import ChatBound


class Room:
    """What is under way, of at most 2,000."""

    def __init__(self, size: int = 2_000) -> None:
        self.free = size
        self.chats: ChatBound[int] = ChatBound(lambda: self.free)

    def fill(self, chat: int) -> int:
        """Admit items until one is held back."""
        admitted = 0
        while self.chats.admit(chat, admitted):
            self.free -= 1
            admitted += 1
        return admitted


def test_one_full_chat_has_a_part_of_all() -> None:
    assert Room().fill(1) == 117


@pytest.mark.parametrize(("chats", "free"), [(1, 1_880), (10, 1_080), (20, 590)])
def test_many_full_chats_leave_some_to_others(chats: int, free: int) -> None:
    room = Room()
    for chat in range(chats):
        room.fill(chat)

    assert room.free >= free
    assert room.chats.admit("another", 0)


def test_items_that_are_held_back_follow_in_their_order_as_others_end() -> None:
    room, left = Room(size=32), deque(range(6))
    followed = list[int]()
    admitted = sum(room.chats.admit("chat", number) for number in left)
    while admitted + len(followed) < len(left):
        followed += room.chats.release("chat")

    assert admitted == 2
    assert followed == [2, 3, 4, 5]


def test_a_chat_without_any_has_one_admitted_though_nothing_is_free() -> None:
    room = Room(size=0)

    assert [room.chats.admit("chat", number) for number in (0, 1)] == [True, False]
    assert room.chats.release("chat") == [1]
