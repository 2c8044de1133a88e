"""Whatever is sent to whatever method, the answer is the Bot API's."""

from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tempogram.simulator import SimulatorSettings
from tempogram.simulator.methods.calls import Refused
from tempogram.simulator.methods.methods import METHODS
from tempogram.simulator.server import wire
from tempogram.simulator.server.telegram import Telegram

NAMES = (
    "chat_id",
    "text",
    "caption",
    "media",
    "message_id",
    "message_ids",
    "from_chat_id",
    "reply_markup",
    "photo",
    "document",
    "options",
    "question",
    "latitude",
    "longitude",
    "prices",
    "url",
    "secret_token",
    "offset",
    "limit",
    "allowed_updates",
    "commands",
    "checklist",
    "reply_parameters",
    "inline_message_id",
    "user_id",
    "duration",
    "max_connections",
    "message_thread_id",
    "file_id",
    "star_count",
    "name",
    "action",
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from((10**30, -(10**30), float("inf")))
    | st.floats()
    | st.text(max_size=10)
    | st.just(7)
    | st.just("@news"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from((*NAMES, "type", "tasks", "id", "amount", "inline_keyboard")), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(sorted(set(METHODS) - {"getupdates"})),
    params=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8),
)
async def test_nonsense_is_answered_or_refused_and_breaks_nothing(name: str, params: dict[str, Any]) -> None:
    telegram = Telegram(SimulatorSettings())
    bot = telegram.world.add_bot("1:a")
    call = telegram.arrive(bot, METHODS[name], {"chat_id": 7, "message_id": 1} | params)

    with suppress(Refused):
        wire.answer(await telegram.answer(call, METHODS[name]))

    assert telegram.record.arrivals == 1
    assert set(telegram.record.by_code) <= {200, 400}
