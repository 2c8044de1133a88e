"""A message of one of the bots to an operators' chat: through the queue, so it is lost as little as any other."""

from __future__ import annotations

from tempogram.api.core.ports import Composer, Refusal
from tempogram.engine.alerts.channel import Accepted as Arrived
from tempogram.engine.alerts.channel import Away, Pending, Refused, Tried
from tempogram.engine.alerts.notices import text_of
from tempogram.engine.dispatcher import Dispatcher
from tempogram.engine.model.errors import BrokerError, ChatUnreachable, EngineError, LedgerError
from tempogram.engine.model.messages import OPEN, ChatId, Priority, Status
from tempogram.engine.ports import Accepted, Known
from tempogram.engine.ports.alert_store import Notice

ARRIVED = {Status.SENT, Status.UNCERTAIN}


class Chat:
    """See ``engine.alerts.channel.Channel``.

    It is submitted at each try with the same ``dedup_key``, so it is accepted once, and then its state is the answer.
    """

    def __init__(self, dispatcher: Dispatcher, composer: Composer, *, bot_id: int, chat_id: ChatId) -> None:
        self._dispatcher = dispatcher
        self._composer = composer
        self._bot_id = bot_id
        self._chat_id = chat_id

    async def send(self, notice: Notice) -> Tried:
        try:
            message = self._composer.compose(
                self._bot_id,
                self._chat_id,
                "sendMessage",
                {"text": text_of(notice)},
                priority=Priority.HIGH,
                dedup_key=f"alert:{notice.id}",
            )
            (answer,) = await self._dispatcher.submit([message])
        except (LedgerError, BrokerError) as error:
            return Away(str(error))
        except Refusal as refusal:
            return Refused(str(refusal))
        return _judged(answer)


def _judged(answer: Accepted | Known | EngineError) -> Tried:
    match answer:
        case Accepted():
            return Pending()
        case Known(_, status) if status in OPEN:
            return Pending()
        case Known(_, status):
            return Arrived() if status in ARRIVED else Refused(f"its message is {status.value}; see the dead letters")
        case ChatUnreachable():
            return Refused(str(answer))
        case _:
            return Away(str(answer))
