"""The methods that only ask or only set something: what a fresh Telegram would answer."""

import time
from collections.abc import Callable
from typing import Any

from tempogram.simulator.methods.calls import Call, bad_request
from tempogram.simulator.methods.params import is_missing, number_of, require
from tempogram.simulator.world.files import OURS
from tempogram.simulator.world.stars import TRANSACTIONS_MAX
from tempogram.simulator.world.world import World

Json = dict[str, Any]
Read = Callable[[World, Call], Any]


def me(_: World, call: Call) -> Json:
    """Answer ``getMe``."""
    return call.bot.brief | {
        "can_join_groups": True,
        "can_read_all_group_messages": not call.bot.privacy,
        "supports_inline_queries": False,
        "can_connect_to_business": False,
        "has_main_web_app": False,
    }


def chat(world: World, call: Call) -> Json:
    """Answer ``getChat``."""
    return world.chat(_chat_id(call)).brief | {
        "accent_color_id": 0,
        "max_reaction_count": 11,
        "accepted_gift_types": dict.fromkeys(
            ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels"),
            False,
        ),
    }


def member(world: World, call: Call) -> Json:
    """Answer ``getChatMember``."""
    _chat_id(call)
    require(call.params, "user_id")
    user_id = number_of(call.params, "user_id") or 0
    bot, user = world.bots.get(user_id), world.users.get(user_id)
    known = bot or user
    brief = known.brief if known else {"id": user_id, "is_bot": False, "first_name": f"User {user_id}"}
    if user_id and user_id == world.chat(call.chat_id).owner_id:
        return _creator(brief)
    return {"status": "member", "user": brief}


def administrators(world: World, call: Call) -> list[Json]:
    """Answer ``getChatAdministrators``: the group's owner, or the bot where there is none."""
    owner = world.users.get(world.chat(_chat_id(call)).owner_id)
    return [_creator(owner.brief if owner else call.bot.brief)]


def _creator(user: Json) -> Json:
    return {"status": "creator", "user": user, "is_anonymous": False}


def member_count(world: World, call: Call) -> int:
    """Answer ``getChatMemberCount``."""
    return len(world.chat(_chat_id(call)).bots) + 1


def file(world: World, call: Call) -> Json:
    """Answer ``getFile``."""
    require(call.params, "file_id")
    file_id = str(call.params["file_id"])
    known = world.files.find(call.bot.bot_id, file_id)
    if known is None and OURS.fullmatch(file_id):
        raise bad_request("wrong file_id or the file is temporarily unavailable")
    kept = {"file_unique_id": file_id[-16:], "file_size": 1} if known is None else known
    return {
        "file_id": file_id,
        "file_unique_id": kept["file_unique_id"],
        "file_size": kept["file_size"],
        "file_path": f"files/{file_id}",
    }


def invite_link(_: World, call: Call) -> Json:
    """Answer the methods that make or change an invite link."""
    _chat_id(call)
    return {
        "invite_link": "https://t.me/+simulated",
        "creator": call.bot.brief,
        "creates_join_request": False,
        "is_primary": False,
        "is_revoked": False,
    }


def story(world: World, call: Call) -> Json:
    """Answer the methods that post or change a story."""
    return {"chat": world.chat(_chat_id(call)).brief if call.chat_id else call.bot.brief | {"type": "private"}, "id": 1}


def sticker_set(_: World, call: Call) -> Json:
    """Answer ``getStickerSet``."""
    name = str(call.params.get("name", ""))
    return {"name": name, "title": name, "sticker_type": "regular", "stickers": []}


def administrator_rights(_: World, __: Call) -> Json:
    """Answer ``getMyDefaultAdministratorRights``."""
    return dict.fromkeys(
        (
            "is_anonymous",
            "can_manage_chat",
            "can_delete_messages",
            "can_manage_video_chats",
            "can_restrict_members",
            "can_promote_members",
            "can_change_info",
            "can_invite_users",
            "can_post_stories",
            "can_edit_stories",
            "can_delete_stories",
            "can_send_welcome_messages",
        ),
        False,
    )


def business_connection(_: World, call: Call) -> Json:
    """Answer ``getBusinessConnection``."""
    return {
        "id": str(call.params.get("business_connection_id", "")),
        "user": call.bot.brief,
        "user_chat_id": 1,
        "date": int(time.time()),
        "is_enabled": True,
    }


def star_transactions(_: World, call: Call) -> Json:
    """Answer ``getStarTransactions``, in chronological order.

    Source: https://core.telegram.org/bots/api#getstartransactions
    """
    offset = max(number_of(call.params, "offset") or 0, 0)
    limit = min(max(number_of(call.params, "limit") or TRANSACTIONS_MAX, 1), TRANSACTIONS_MAX)
    return {"transactions": call.bot.stars.page(offset=offset, limit=limit)}


def uploaded(_: World, call: Call) -> Json:
    """Answer ``uploadStickerFile``."""
    require(call.params, "sticker")
    file_id = getattr(call.params["sticker"], "file_id", "sim-sticker")
    return {"file_id": file_id, "file_unique_id": file_id[-16:]}


def _chat_id(call: Call) -> int:
    if is_missing(call.params, "chat_id"):
        raise bad_request("chat_id is empty")
    if not call.chat_id:
        raise bad_request("chat not found")
    return call.chat_id


def _same(value: object) -> Read:
    return lambda _, __: value


READS: dict[str, Read] = {
    "getMe": me,
    "getChat": chat,
    "getChatMember": member,
    "getChatAdministrators": administrators,
    "getChatMemberCount": member_count,
    "getFile": file,
    "getMyCommands": lambda _, call: call.bot.commands,
    "getMyName": lambda _, call: {"name": call.bot.username},
    "getMyDescription": _same({"description": ""}),
    "getMyShortDescription": _same({"short_description": ""}),
    "getMyDefaultAdministratorRights": administrator_rights,
    "getMyStarBalance": lambda _, call: call.bot.stars.balance,
    "getStarTransactions": star_transactions,
    "getChatMenuButton": _same({"type": "commands"}),
    "getStickerSet": sticker_set,
    "getCustomEmojiStickers": _same([]),
    "getForumTopicIconStickers": _same([]),
    "getUserProfilePhotos": _same({"total_count": 0, "photos": []}),
    "getUserProfileAudios": _same({"total_count": 0, "audios": []}),
    "getUserChatBoosts": _same({"boosts": []}),
    "getUserGifts": _same({"total_count": 0, "gifts": []}),
    "getChatGifts": _same({"total_count": 0, "gifts": []}),
    "getAvailableGifts": _same({"gifts": []}),
    "getGameHighScores": _same([]),
    "getUserPersonalChatMessages": _same([]),
    "getBusinessConnection": business_connection,
    "getBusinessAccountGifts": _same({"total_count": 0, "gifts": []}),
    "getBusinessAccountStarBalance": _same({"amount": 0}),
    "getManagedBotAccessSettings": _same({"is_access_restricted": False}),
    "getManagedBotToken": _same("1:simulated"),
    "replaceManagedBotToken": _same("1:simulated"),
    "createChatInviteLink": invite_link,
    "createChatSubscriptionInviteLink": invite_link,
    "editChatInviteLink": invite_link,
    "editChatSubscriptionInviteLink": invite_link,
    "revokeChatInviteLink": invite_link,
    "exportChatInviteLink": _same("https://t.me/+simulated"),
    "createInvoiceLink": _same("https://t.me/$simulated"),
    "postStory": story,
    "repostStory": story,
    "editStory": story,
    "uploadStickerFile": uploaded,
    "answerWebAppQuery": _same({}),
    "answerGuestQuery": _same({"inline_message_id": "simulated"}),
    "savePreparedInlineMessage": _same({"id": "simulated", "expiration_date": 2_000_000_000}),
    "savePreparedKeyboardButton": _same({"id": "simulated"}),
}

TRUE_METHODS = frozenset(
    [
        "addStickerToSet",
        "answerChatJoinRequestQuery",
        "answerShippingQuery",
        "approveChatJoinRequest",
        "approveSuggestedPost",
        "banChatMember",
        "banChatSenderChat",
        "close",
        "closeForumTopic",
        "closeGeneralForumTopic",
        "convertGiftToStars",
        "declineChatJoinRequest",
        "declineSuggestedPost",
        "deleteAllMessageReactions",
        "deleteChatPhoto",
        "deleteChatStickerSet",
        "deleteEphemeralMessage",
        "deleteForumTopic",
        "deleteMessageReaction",
        "deleteStickerFromSet",
        "deleteStickerSet",
        "deleteStory",
        "editEphemeralMessageCaption",
        "editEphemeralMessageMedia",
        "editEphemeralMessageReplyMarkup",
        "editEphemeralMessageText",
        "editForumTopic",
        "editGeneralForumTopic",
        "editUserStarSubscription",
        "giftPremiumSubscription",
        "hideGeneralForumTopic",
        "logOut",
        "promoteChatMember",
        "readBusinessMessage",
        "refundStarPayment",
        "removeBusinessAccountProfilePhoto",
        "removeChatVerification",
        "removeMyProfilePhoto",
        "removeUserVerification",
        "reopenForumTopic",
        "reopenGeneralForumTopic",
        "replaceStickerInSet",
        "restrictChatMember",
        "sendChatJoinRequestWebApp",
        "sendGift",
        "sendMessageDraft",
        "sendRichMessageDraft",
        "setBusinessAccountBio",
        "setBusinessAccountGiftSettings",
        "setBusinessAccountName",
        "setBusinessAccountProfilePhoto",
        "setBusinessAccountUsername",
        "setChatAdministratorCustomTitle",
        "setChatDescription",
        "setChatMemberTag",
        "setChatMenuButton",
        "setChatPermissions",
        "setChatPhoto",
        "setChatStickerSet",
        "setChatTitle",
        "setCustomEmojiStickerSetThumbnail",
        "setMyDefaultAdministratorRights",
        "setMyDescription",
        "setMyName",
        "setMyProfilePhoto",
        "setMyShortDescription",
        "setPassportDataErrors",
        "setStickerMaskPosition",
        "setStickerPositionInSet",
        "setStickerSetThumbnail",
        "setStickerSetTitle",
        "setUserEmojiStatus",
        "transferBusinessAccountStars",
        "transferGift",
        "unbanChatMember",
        "unbanChatSenderChat",
        "unhideGeneralForumTopic",
        "unpinAllChatMessages",
        "unpinAllForumTopicMessages",
        "unpinAllGeneralForumTopicMessages",
        "unpinChatMessage",
        "upgradeGift",
        "verifyChat",
        "verifyUser",
    ]
)
