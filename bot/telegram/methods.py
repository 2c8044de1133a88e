"""The methods that count against a limit, what they cost, and whose budget they use.

Every method of aiogram stands in exactly one of the two tables (a test checks it), so that no new method bypasses the
limits unnoticed.

Sources: https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this and
https://github.com/tdlib/telegram-bot-api/issues (edits share the chat's budget; an album counts as its items).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiogram.methods
from aiogram.methods import TelegramMethod

from tempogram.engine.model.messages import ChatId

AnyMethod = TelegramMethod[Any]


def _one(params: Mapping[str, Any]) -> int:  # noqa: ARG001 - every cost takes the parameters
    return 1


def _items(name: str) -> Callable[[Mapping[str, Any]], int]:
    def cost(params: Mapping[str, Any]) -> int:
        items = params.get(name)
        return max(1, len(items)) if isinstance(items, list | tuple) else 1

    return cost


@dataclass(frozen=True, slots=True)
class Counted:
    """A method that counts against limits.

    Attributes:
        cost: Places it takes, by its parameters.
        may_be_inline: It may name an inline message, which belongs to no chat of ours.
    """

    cost: Callable[[Mapping[str, Any]], int] = _one
    may_be_inline: bool = False

    def chat_id(self, params: Mapping[str, Any]) -> ChatId | None:
        """Return the chat whose budget a call uses; None if only the bot's."""
        chat_id = params.get("chat_id")
        if chat_id is not None:
            return numbered(chat_id)
        inline_id = params.get("inline_message_id") if self.may_be_inline else None
        return None if inline_id is None else f"inline:{inline_id}"


def numbered(chat_id: ChatId) -> ChatId:
    """Return a numeric id given as text as a number.

    >>> numbered("-100123"), numbered("@News"), numbered(7)
    (-100123, '@news', 7)
    """
    if isinstance(chat_id, int):
        return chat_id
    return int(chat_id) if chat_id.removeprefix("-").isdecimal() else chat_id.lower()


_PLAIN, _EDIT = Counted(), Counted(may_be_inline=True)

COUNTED: dict[str, Counted] = {
    **dict.fromkeys(
        """
        sendAnimation sendAudio sendChecklist sendContact sendDice sendDocument sendGame sendGift sendInvoice
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
    "sendMediaGroup": Counted(cost=_items("media")),
    "forwardMessages": Counted(cost=_items("message_ids")),
    "copyMessages": Counted(cost=_items("message_ids")),
}

EXEMPT: dict[str, str] = {
    name: reason
    for reason, names in {
        "answers a query, which has its own deadline": """
            answerCallbackQuery answerChatJoinRequestQuery answerGuestQuery answerInlineQuery answerPreCheckoutQuery
            answerShippingQuery answerWebAppQuery sendChatJoinRequestWebApp""",
        "shows no message": "sendChatAction setMessageReaction readBusinessMessage",
        "removes, and adds nothing": """
            deleteAllMessageReactions deleteBusinessMessages deleteChatPhoto deleteChatStickerSet
            deleteEphemeralMessage deleteForumTopic deleteMessage deleteMessageReaction deleteMessages
            deleteMyCommands deleteStickerFromSet deleteStickerSet deleteStory deleteWebhook
            removeBusinessAccountProfilePhoto removeChatVerification removeMyProfilePhoto removeUserVerification""",
        "reads": """
            getAvailableGifts getBusinessAccountGifts getBusinessAccountStarBalance getBusinessConnection getChat
            getChatAdministrators getChatGifts getChatMember getChatMemberCount getChatMenuButton
            getCustomEmojiStickers getFile getForumTopicIconStickers getGameHighScores
            getManagedBotAccessSettings getManagedBotToken getMe getMyCommands getMyDefaultAdministratorRights
            getMyDescription getMyName getMyShortDescription getMyStarBalance getStarTransactions getStickerSet
            getUpdates getUserChatBoosts getUserGifts getUserPersonalChatMessages getUserProfileAudios
            getUserProfilePhotos getWebhookInfo""",
        "governs a chat, its members or its topics": """
            approveChatJoinRequest approveSuggestedPost banChatMember banChatSenderChat closeForumTopic
            closeGeneralForumTopic createChatInviteLink createChatSubscriptionInviteLink declineChatJoinRequest
            declineSuggestedPost editChatInviteLink editChatSubscriptionInviteLink editForumTopic
            editGeneralForumTopic exportChatInviteLink hideGeneralForumTopic leaveChat pinChatMessage
            promoteChatMember reopenForumTopic reopenGeneralForumTopic restrictChatMember revokeChatInviteLink
            setChatAdministratorCustomTitle setChatDescription setChatMemberTag setChatMenuButton
            setChatPermissions setChatPhoto setChatStickerSet setChatTitle unbanChatMember unbanChatSenderChat
            unhideGeneralForumTopic unpinAllChatMessages unpinAllForumTopicMessages
            unpinAllGeneralForumTopicMessages unpinChatMessage verifyChat verifyUser""",
        "governs the bot, a sticker set or an account": """
            addStickerToSet close createNewStickerSet logOut replaceManagedBotToken replaceStickerInSet
            setBusinessAccountBio setBusinessAccountGiftSettings setBusinessAccountName
            setBusinessAccountProfilePhoto setBusinessAccountUsername setCustomEmojiStickerSetThumbnail
            setManagedBotAccessSettings setMyCommands setMyDefaultAdministratorRights setMyDescription setMyName
            setMyProfilePhoto setMyShortDescription setPassportDataErrors setStickerEmojiList setStickerKeywords
            setStickerMaskPosition setStickerPositionInSet setStickerSetThumbnail setStickerSetTitle
            setUserEmojiStatus setWebhook uploadStickerFile""",
        "moves gifts, stars, stories or links, outside of any chat": """
            convertGiftToStars createInvoiceLink editStory editUserStarSubscription giftPremiumSubscription
            postStory refundStarPayment repostStory savePreparedInlineMessage savePreparedKeyboardButton
            transferBusinessAccountStars transferGift upgradeGift""",
    }.items()
    for name in names.split()
}


def every_method() -> dict[str, type[AnyMethod]]:
    """Return every method of aiogram, by Telegram's spelling."""
    classes = (getattr(aiogram.methods, name) for name in aiogram.methods.__all__)
    return {
        each.__api_method__: each
        for each in classes
        if isinstance(each, type) and issubclass(each, TelegramMethod) and each is not TelegramMethod
    }


BY_NAME: dict[str, type[AnyMethod]] = {name.lower(): method for name, method in every_method().items()}
"""Method names are case-insensitive, as at Telegram."""
