"""A bot in requests and responses. A token goes in, and none ever comes out; its webhook's secret does, to an admin."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, Strict, model_validator

from tempogram.api.schemas.base import RequestModel, ResponseModel, given
from tempogram.api.schemas.fields import AS_WHOLE, Flag, time_of
from tempogram.engine.model.messages import PausedBy
from tempogram.storage.bots import RegisteredBot, Source

WEIGHT_MAX = 1_000

Behaviours = Annotated[
    dict[str, Any],
    Field(description="What the bot does: a behaviour's name and its settings.", examples=[{"echo": {}}]),
]


UPDATES: Any = Field(
    None,
    description=(
        "Where its updates come from; webhook if PUBLIC_URL is set, else polling. "
        "none: the owner fetches them elsewhere."
    ),
)


class BotDefaults(RequestModel):
    """Parameters that the calls of a bot have unless they say otherwise, as aiogram's ``DefaultBotProperties``.

    What is left out is as the settings ``BOT_…`` say.
    """

    parse_mode: Literal["HTML", "MarkdownV2", "Markdown", ""] | None = Field(
        None, description='Of texts and captions. "": none, whatever BOT_PARSE_MODE says.'
    )
    disable_notification: Flag | None = None
    protect_content: Flag | None = None
    allow_sending_without_reply: Flag | None = None
    link_preview_is_disabled: Flag | None = None
    link_preview_prefer_small_media: Flag | None = None
    link_preview_prefer_large_media: Flag | None = None
    link_preview_show_above_text: Flag | None = None
    show_caption_above_media: Flag | None = None


DEFAULTS: Any = Field(
    None,
    description=(
        "Parameters of its calls, unless they say otherwise: of handlers, and of messages with text; a message with "
        "method and params is sent as it is. Replaces the former ones."
    ),
)


class WithDefaults(RequestModel):
    """A request that may give defaults."""

    defaults: BotDefaults | None = DEFAULTS

    @property
    def own_defaults(self) -> dict[str, Any] | None:
        return None if self.defaults is None else self.defaults.model_dump(exclude_none=True)


class BotIn(WithDefaults):
    """A bot to run."""

    token: str = Field(
        min_length=1,
        max_length=160,
        description="From @BotFather. Kept encrypted, and never shown.",
        json_schema_extra={"pattern": "^[0-9]{1,18}:[A-Za-z0-9_-]{1,128}$"},  # the fleet explains what is wrong with it
    )
    behaviours: Behaviours | None = Field(
        None, description="Left out: the module of BEHAVIOURS, if that names exactly one; otherwise it answers nothing."
    )
    updates: Source | None = UPDATES


class BotChange(WithDefaults):
    """A change of a bot; fields that are left out stay."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"paused": True}, {"weight": 3}],
            "anyOf": [
                given("behaviours", type="object"),
                given("paused", type="boolean"),
                given("weight", type="integer"),
                given("updates", type="string"),
                given("defaults", type="object"),
            ],
        }
    )

    behaviours: Behaviours | None = None
    paused: Flag | None = Field(None, description="A paused bot sends nothing; its messages wait.")
    weight: Annotated[int, Strict(), Field(ge=1, le=WEIGHT_MAX), AS_WHOLE] | None = Field(
        None, description="Turns that it gets for one of a bot of weight 1."
    )
    updates: Source | None = UPDATES

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.changes_fleet and self.paused is None and self.weight is None:
            raise ValueError("say what to change: behaviours, paused, weight, updates or defaults")
        return self

    @property
    def changes_fleet(self) -> bool:
        """Tell whether more than the queue is concerned."""
        return (self.behaviours, self.updates, self.defaults) != (None, None, None)


class BotOut(ResponseModel):
    """One bot, without its token."""

    id: str = Field(examples=["123456"])
    username: str
    first_name: str
    behaviours: Behaviours
    paused: bool
    paused_by: PausedBy | None = Field(
        description="token_revoked and token_unreadable (it cannot be decrypted) end with a valid token. null: it is "
        "not paused."
    )
    weight: int
    updates: Source
    defaults: BotDefaults
    added_at: datetime | None

    @classmethod
    def of(cls, bot: RegisteredBot, source: Source) -> Self:
        return cls(
            id=str(bot.bot_id),
            username=bot.username,
            first_name=bot.first_name,
            behaviours=dict(bot.behaviours),
            paused=bot.paused,
            paused_by=bot.paused_by,
            weight=bot.weight,
            updates=source,
            defaults=BotDefaults(**bot.defaults),
            added_at=time_of(bot.added_at_ms),
        )


class BotsOut(ResponseModel):
    """Every bot, in the order of their ids."""

    bots: list[BotOut]


class WebhookSecretOut(ResponseModel):
    """What each call of a bot's webhook bears."""

    secret: str = Field(description="The value of the header X-Telegram-Bot-Api-Secret-Token.")


class RemovedOut(ResponseModel):
    """How many messages were cancelled with a bot, so far if the status is 202."""

    cancelled: int
