"""Everything of the simulator but HTTP: settings, a Telegram, its scripted users, and what a test changes in them."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from tempogram.simulator.limits.faults import Fault
from tempogram.simulator.methods.calls import Refused
from tempogram.simulator.methods.methods import METHODS, Method
from tempogram.simulator.report import Report, report_of
from tempogram.simulator.server import wire
from tempogram.simulator.server.delivery import Delivery
from tempogram.simulator.server.telegram import Telegram
from tempogram.simulator.settings import SimulatorSettings
from tempogram.simulator.world.scripted_users import ScriptedUsers
from tempogram.simulator.world.world import Bot, Chat, ChatType, User

PATHS_KEPT = 100_000


@dataclass(slots=True)
class Simulation:
    """A Telegram whose settings, faults and users are changed while it runs. ``Simulator`` serves it."""

    settings: SimulatorSettings = field(default_factory=SimulatorSettings)
    telegram: Telegram = field(init=False)
    scripted_users: ScriptedUsers = field(init=False)
    delivery: Delivery = field(init=False)
    _addresses: dict[str, tuple[Bot, Method]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with an empty world and silent users."""
        self.telegram = Telegram(self.settings)
        self.delivery = Delivery(self.telegram.world)
        self.telegram.world.courier = self.delivery
        self.scripted_users = ScriptedUsers(self.telegram.world)

    def add_bot(self, token: str, username: str = "", *, privacy: bool = False) -> Bot:
        """See ``World.add_bot``."""
        # A new token may end an old one, which must not be found any more.
        self._addresses.clear()
        return self.telegram.world.add_bot(token, username, privacy=privacy)

    def add_chat(
        self,
        kind: ChatType,
        title: str,
        *,
        chat_id: int | None = None,
        username: str = "",
        bots: Iterable[Bot] = (),
        owner_id: int = 0,
    ) -> Chat:
        """See ``World.add_chat``."""
        return self.telegram.world.add_chat(
            kind, title, chat_id=chat_id, username=username, bots=bots, owner_id=owner_id
        )

    def add_user(
        self, first_name: str, username: str = "", *, user_id: int | None = None, scripted: bool = True
    ) -> User:
        """See ``World.add_user``."""
        return self.telegram.world.add_user(first_name, username, user_id=user_id, scripted=scripted)

    def migrate(self, chat_id: int, to_chat_id: int | None = None) -> int:
        """Make a supergroup of a group, tell its bots, and return its id."""
        return self.telegram.migrate(chat_id, to_chat_id)

    def order(self, fault: Fault) -> int:
        """Put a fault in force and return its number; rules are used in the order in which they came."""
        return self.telegram.order(fault)

    def change(self, settings: SimulatorSettings) -> None:
        """Go on under other settings."""
        self.settings = settings
        self._addresses.clear()
        self.telegram.change(settings)

    def reset(self) -> None:
        """Forget windows, faults and the record; bots, chats and updates stay."""
        self.telegram.reset()

    def report(self) -> Report:
        """Write down where things stand."""
        telegram = self.telegram
        pending = sum(len(bot.mailbox.updates) for bot in telegram.world.bots.values())
        return report_of(telegram.record, telegram.windows, telegram.faults, updates_pending=pending)

    def address(self, path: str) -> tuple[Bot, Method]:
        """Find the bot and the method that a path names, and remember them."""
        match = wire.TOKEN_PATH.fullmatch(path)
        if match is None:
            raise self._refuse_unknown(Refused(404, "Not Found"))
        bot_id, name = int(match["bot_id"]), match["method"]
        bot = self.telegram.world.bot_of(match["token"])
        if bot is None:
            raise self._refuse_unknown(Refused(401, "Unauthorized"), bot_id, name)
        method = METHODS.get(name.lower())
        if method is None:
            raise self._refuse_unknown(Refused(404, "Not Found: method not found"), bot_id, name)
        if len(self._addresses) >= PATHS_KEPT:
            self._addresses.clear()
        self._addresses[path] = bot, method
        return bot, method

    def _refuse_unknown(self, refused: Refused, bot_id: int = 0, method: str = "") -> Refused:
        self.telegram.refuse_unknown(refused, bot_id, method)
        return refused
