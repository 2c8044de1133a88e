"""Which way each method goes: what counts and what it costs, what only passes the queue, and what goes directly.

Every method of aiogram stands in exactly one of the three tables (a test checks it), so that no new method bypasses the
limits unnoticed. The tables know methods by their names: a process that only sends must not import aiogram.

    COUNTED    through the queue; takes places of its chat, its bot and the ceiling
    UNCOUNTED  through the queue, as Telegram does not count it: obeys holds and pauses, is tried again, takes no place
    DIRECT     to Telegram at once, each with the reason

Sources: https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this and
https://github.com/tdlib/telegram-bot-api/issues (edits share the chat's budget; an album counts as its items).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tempogram.engine.model.messages import ChatId, Guarantee

Params = Mapping[str, Any]

OWN_NAME = "method:"
"""How the chat of a call that concerns no chat begins; its method follows. So a 429 for it holds its like alone."""


def _one(params: Params) -> int:  # noqa: ARG001 - every cost takes the parameters
    return 1


def _none(params: Params) -> int:  # noqa: ARG001
    return 0


def _items(name: str) -> Callable[[Params], int]:
    def cost(params: Params) -> int:
        items = params.get(name)
        return max(1, len(items)) if isinstance(items, list | tuple) else 1

    return cost


def _always(params: Params) -> bool:  # noqa: ARG001 - every answer takes the parameters
    return True


def _never(params: Params) -> bool:  # noqa: ARG001
    return False


@dataclass(frozen=True, slots=True)
class Rule:
    """How a method passes the queue.

    Attributes:
        cost: Places it takes, by its parameters; 0: it is uncounted.
        may_be_inline: It may name an inline message, which belongs to no chat of ours.
        may_repeat: Whether a call that perhaps took effect may be made again, by its parameters: it leaves things as
            the first one did. Any other is made again only if surely nothing was done.
        own_name: What stands for the chat of a call that names none; None: only the bot's budget is used.
    """

    cost: Callable[[Params], int] = _one
    may_be_inline: bool = False
    may_repeat: Callable[[Params], bool] = _always
    own_name: str | None = None

    def chat_id(self, params: Params) -> ChatId | None:
        """Return the chat whose budget a call uses, or whose holds it obeys."""
        chat_id = params.get("chat_id")
        if chat_id is not None:
            return numbered(chat_id)
        inline_id = params.get("inline_message_id") if self.may_be_inline else None
        return self.own_name if inline_id is None else f"inline:{inline_id}"

    def guarantee(self, params: Params) -> Guarantee:
        """Return what happens to a call that perhaps took effect."""
        return Guarantee.AT_LEAST_ONCE if self.may_repeat(params) else Guarantee.AT_MOST_ONCE


def numbered(chat_id: ChatId) -> ChatId:
    """Return a numeric id given as text as a number.

    >>> numbered("-100123"), numbered("@News"), numbered(7)
    (-100123, '@news', 7)
    """
    if isinstance(chat_id, int):
        return chat_id
    return int(chat_id) if chat_id.removeprefix("-").isdecimal() else chat_id.lower()


_PLAIN, _EDIT = Rule(), Rule(may_be_inline=True)

COUNTED: dict[str, Rule] = {
    **dict.fromkeys(
        """
        sendAnimation sendAudio sendChecklist sendContact sendDice sendDocument sendGame sendInvoice
        sendLivePhoto sendLocation sendMessage sendMessageDraft sendPaidMedia sendPhoto sendPoll sendRichMessage
        sendRichMessageDraft sendSticker sendVenue sendVideo sendVideoNote sendVoice
        forwardMessage copyMessage createForumTopic stopPoll
        editEphemeralMessageCaption editEphemeralMessageMedia editEphemeralMessageReplyMarkup
        editEphemeralMessageText editMessageChecklist
        """.split(),
        _PLAIN,
    ),
    **dict.fromkeys(
        """
        editMessageCaption editMessageLiveLocation editMessageMedia editMessageReplyMarkup editMessageText
        stopMessageLiveLocation setGameScore
        """.split(),
        _EDIT,
    ),
    "sendMediaGroup": Rule(cost=_items("media")),
    "forwardMessages": Rule(cost=_items("message_ids")),
    "copyMessages": Rule(cost=_items("message_ids")),
    "sendGift": Rule(may_repeat=_never),  # each costs Stars
}


def _uncounted(names: str, may_repeat: Callable[[Params], bool]) -> dict[str, Rule]:
    return {name: Rule(_none, may_repeat=may_repeat, own_name=OWN_NAME + name) for name in names.split()}


def _names_a_message(params: Params) -> bool:
    return params.get("message_id") is not None


UNCOUNTED: dict[str, Rule] = {
    # A second call changes nothing, or is refused because the first has taken effect.
    **_uncounted(
        """
        approveChatJoinRequest approveSuggestedPost banChatMember banChatSenderChat closeForumTopic
        closeGeneralForumTopic declineChatJoinRequest declineSuggestedPost deleteAllMessageReactions
        deleteBusinessMessages deleteChatPhoto deleteChatStickerSet deleteEphemeralMessage deleteForumTopic
        deleteMessage deleteMessageReaction deleteMessages deleteMyCommands deleteStickerFromSet deleteStickerSet
        deleteStory editChatInviteLink editChatSubscriptionInviteLink editForumTopic editGeneralForumTopic editStory
        editUserStarSubscription hideGeneralForumTopic leaveChat pinChatMessage promoteChatMember
        readBusinessMessage removeChatVerification removeUserVerification reopenForumTopic
        reopenGeneralForumTopic restrictChatMember revokeChatInviteLink setBusinessAccountBio
        setBusinessAccountGiftSettings setBusinessAccountName setBusinessAccountUsername
        setChatAdministratorCustomTitle setChatDescription setChatMemberTag setChatMenuButton setChatPermissions
        setChatStickerSet setChatTitle setCustomEmojiStickerSetThumbnail setManagedBotAccessSettings
        setMessageReaction setMyCommands setMyDefaultAdministratorRights setMyDescription setMyName
        setMyShortDescription setPassportDataErrors setStickerEmojiList setStickerKeywords setStickerMaskPosition
        setStickerPositionInSet setStickerSetThumbnail setStickerSetTitle setUserEmojiStatus unbanChatMember
        unbanChatSenderChat unhideGeneralForumTopic unpinAllChatMessages unpinAllForumTopicMessages
        unpinAllGeneralForumTopicMessages verifyChat verifyUser
        """,
        _always,
    ),
    # Without a message it unpins the newest, so a second call unpins another one.
    **_uncounted("unpinChatMessage", _names_a_message),
    # A second call makes, shows, moves, pays or removes something once more; or answers what can be answered once.
    **_uncounted(
        """
        addStickerToSet answerChatJoinRequestQuery answerGuestQuery answerWebAppQuery convertGiftToStars
        createChatInviteLink createChatSubscriptionInviteLink createInvoiceLink createNewStickerSet
        exportChatInviteLink giftPremiumSubscription postStory refundStarPayment removeBusinessAccountProfilePhoto
        removeMyProfilePhoto replaceStickerInSet repostStory savePreparedInlineMessage savePreparedKeyboardButton
        sendChatJoinRequestWebApp setBusinessAccountProfilePhoto setChatPhoto setMyProfilePhoto
        transferBusinessAccountStars transferGift upgradeGift uploadStickerFile
        """,
        _never,
    ),
}
"""Calls that change something and show no message."""

QUEUED: dict[str, Rule] = COUNTED | UNCOUNTED

DIRECT: dict[str, str] = {
    name: reason
    for reason, names in {
        "answers a query within seconds, or never": """
            answerCallbackQuery answerInlineQuery answerPreCheckoutQuery answerShippingQuery""",
        "shows for some seconds that the bot is at work": "sendChatAction",
        "reads": """
            getAvailableGifts getBusinessAccountGifts getBusinessAccountStarBalance getBusinessConnection getChat
            getChatAdministrators getChatGifts getChatMember getChatMemberCount getChatMenuButton
            getCustomEmojiStickers getFile getForumTopicIconStickers getGameHighScores
            getManagedBotAccessSettings getManagedBotToken getMe getMyCommands getMyDefaultAdministratorRights
            getMyDescription getMyName getMyShortDescription getMyStarBalance getStarTransactions getStickerSet
            getUpdates getUserChatBoosts getUserGifts getUserPersonalChatMessages getUserProfileAudios
            getUserProfilePhotos getWebhookInfo""",
        "says where updates go or ends the bot here; a paused bot does that too": """
            close deleteWebhook logOut setWebhook""",
        "is answered with a token, which must not pass the queue": "replaceManagedBotToken",
    }.items()
    for name in names.split()
}

MAY_RETURN_TRUE: frozenset[str] = frozenset(
    """
    editEphemeralMessageCaption editEphemeralMessageMedia editEphemeralMessageReplyMarkup editEphemeralMessageText
    editMessageCaption editMessageLiveLocation editMessageMedia editMessageReplyMarkup editMessageText
    sendGift sendMessageDraft sendRichMessageDraft setGameScore stopMessageLiveLocation
    """.split()
) | UNCOUNTED.keys() - set(
    """
    answerGuestQuery answerWebAppQuery createChatInviteLink createChatSubscriptionInviteLink createInvoiceLink
    editChatInviteLink editChatSubscriptionInviteLink editStory exportChatInviteLink postStory repostStory
    revokeChatInviteLink savePreparedInlineMessage savePreparedKeyboardButton uploadStickerFile
    """.split()
)
"""Methods of the queue that may return ``True``: a call of one that would return nothing else is known to be done."""
