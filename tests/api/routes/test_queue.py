from __future__ import annotations

import pytest

from tempogram.engine.model.messages import Again, Settlement, Status
from tests.api.fakes import BOT_ID, World, error_of


class TestStats:
    async def test_the_queue_stats_have_exactly_the_documented_fields(self, world: World) -> None:
        await world.submitted(chat_id=1)
        (lease,) = await world.leased()
        await world.broker.settle([Settlement(lease, Again(60_000), None)])
        for chat_id in range(2, 7):
            await world.submitted(chat_id=chat_id)
        for chat_id in range(7, 9):
            await world.submitted(chat_id=chat_id, priority="low")

        response = await world.client.get("/queue/stats")

        assert response.text == (
            '{"stats":{"high":0,"normal":5,"low":2,"retry":1,"dlq":0},"total_queued":8,"total_failed":0}'
        )

    async def test_dead_letters_count_as_failed_and_not_as_queued(self, world: World) -> None:
        await world.dead()
        await world.submitted(priority="high")

        response = await world.client.get("/queue/stats")

        assert response.json() == {
            "stats": {"high": 1, "normal": 0, "low": 0, "retry": 0, "dlq": 1},
            "total_queued": 1,
            "total_failed": 1,
        }

    async def test_broadcasts_that_run_have_a_part(self, world: World) -> None:
        made = await world.client.post("/broadcasts", json={"name": "news", "bot": BOT_ID, "text": "Hello"})
        await world.client.post(f"/broadcasts/{made.json()['id']}/start")

        response = await world.client.get("/queue/stats")

        assert response.json()["broadcasts"] == {"running": 1, "waiting": 0, "outcomes": {}}

    async def test_queue_stats_are_refused_while_the_broker_is_unavailable(self, world: World) -> None:
        world.broker.asleep = True

        response = await world.client.get("/queue/stats")

        assert error_of(response)[:2] == (503, "broker_unavailable")
        assert "10.0.0.6" not in response.text


class TestDeadLetters:
    async def test_the_pages_of_dead_letters_have_each_once_in_order(self, world: World) -> None:
        dead = [await world.dead() for _ in range(5)]

        seen, after = [], ""
        while True:
            query = f"/queue/dlq?limit=2{after and f'&after={after}'}"
            page = (await world.client.get(query)).json()
            seen += [letter["id"] for letter in page["letters"]]
            after = page["next_after"]
            if after is None:
                break

        assert seen == dead

    async def test_the_last_page_of_dead_letters_has_no_next(self, world: World) -> None:
        await world.dead()

        assert (await world.client.get("/queue/dlq?limit=1")).json()["next_after"] is None

    async def test_a_dead_letter_is_shown_with_its_reason(self, world: World) -> None:
        await world.dead()

        (letter,) = (await world.client.get("/queue/dlq")).json()["letters"]

        assert letter["reason"] == "Forbidden: bot was blocked by the user"
        assert letter["settled_at"] is not None

    async def test_dead_letters_can_be_listed_by_bot(self, world: World) -> None:
        world.bots.register(5, {})
        await world.dead()
        mine = await world.dead(bot=5)

        response = await world.client.get("/queue/dlq?bot=5")

        assert [letter["id"] for letter in response.json()["letters"]] == [mine]

    async def test_dead_letters_can_be_listed_by_tag(self, world: World) -> None:
        await world.dead()
        spring = await world.dead(tag="spring")

        response = await world.client.get("/queue/dlq?tag=spring")

        assert [(letter["id"], letter["tag"]) for letter in response.json()["letters"]] == [(spring, "spring")]

    @pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=many", "after=%00", "bot=me", "tag="])
    async def test_an_invalid_page_of_dead_letters_is_refused(self, world: World, query: str) -> None:
        response = await world.client.get(f"/queue/dlq?{query}")

        assert error_of(response)[:2] == (422, "invalid")
        assert error_of(response)[2].startswith(query.partition("=")[0])

    async def test_replayed_dead_letters_are_queued_again(self, world: World) -> None:
        first, second = await world.dead(), await world.dead()

        response = await world.client.post("/queue/dlq/replay", json={"ids": [second, "unknown"]})

        assert response.json() == {"replayed": 1}
        assert world.storage.states[first].status is Status.DEAD
        assert [lease.message.id for lease in await world.leased()] == [second]

    async def test_all_dead_letters_of_a_bot_can_be_replayed(self, world: World) -> None:
        world.bots.register(5, {})
        for _ in range(3):
            await world.dead(bot=5)
        await world.dead()

        response = await world.client.post("/queue/dlq/replay", json={"bot": "5"})

        assert response.json() == {"replayed": 3}
        assert await world.storage.dead_count() == 1

    async def test_all_dead_letters_can_be_replayed_each_once(self, world: World) -> None:
        for chat_id in range(1, 1_202):
            await world.dead(chat_id=chat_id)

        response = await world.client.post("/queue/dlq/replay", json={"all": True})

        assert response.json() == {"replayed": 1_201}
        assert await world.storage.dead_count() == 0

    async def test_a_replay_is_stored_though_the_broker_is_unavailable(self, world: World) -> None:
        await world.dead()
        world.broker.asleep = True

        response = await world.client.post("/queue/dlq/replay", json={"all": True})

        assert response.json() == {"replayed": 1}

    @pytest.mark.parametrize(
        ("query", "left"), [("ids={first}", 2), ("ids={first}&ids={second}", 1), (f"bot={BOT_ID}", 0), ("all=true", 0)]
    )
    async def test_purged_dead_letters_are_not_found_any_more(self, world: World, query: str, left: int) -> None:
        first, second, _ = [await world.dead() for _ in range(3)]

        response = await world.client.delete("/queue/dlq?" + query.format(first=first, second=second))

        assert response.json() == {"purged": 3 - left}
        assert await world.storage.dead_count() == left

    @pytest.mark.parametrize("body", [{}, {"all": True, "bot": 5}])
    async def test_a_replay_without_one_selection_is_refused(self, world: World, body: dict[str, object]) -> None:
        await world.dead()

        response = await world.client.post("/queue/dlq/replay", json=body)

        assert error_of(response)[2] == "say which dead letters: one of ids, bot and all"

    @pytest.mark.parametrize("query", ["", "?all=false", "?everything=true"])
    async def test_a_purge_without_a_selection_deletes_nothing(self, world: World, query: str) -> None:
        await world.dead()

        response = await world.client.delete(f"/queue/dlq{query}")

        assert error_of(response)[:2] == (422, "invalid")
        assert await world.storage.dead_count() == 1
