"""What a message contains, by the method that sent it, in the shape of Telegram's types.

Source: https://core.telegram.org/bots/api#message
"""

import random
from collections.abc import Callable
from typing import Any
from zlib import crc32

from tempogram.simulator.methods.calls import Params, Upload, bad_request
from tempogram.simulator.methods.params import (
    bounded_list,
    caption_of,
    decimal_of,
    is_longer,
    json_of,
    list_of,
    number_of,
    require,
    text_of,
)

Json = dict[str, Any]
Content = Callable[[Params], Json]

ALBUM_LIMIT = 10
PAID_MEDIA_LIMIT = 10
OPTIONS_LIMIT, QUESTION_LENGTH, OPTION_LENGTH = 12, 300, 100  # of a poll
COUNTRIES_LIMIT = 12
TIPS_LIMIT = 4
TASKS_LIMIT = 30
DICE_FACES = {"🏀": 5, "⚽": 5, "🎰": 64}  # the others have 6
SMALL = 320  # px; every picture here is that large
INPUT_KINDS = ("photo", "video", "document", "audio", "animation")


def text(params: Params) -> Json:
    """Contain a text."""
    return {"text": text_of(params)}


def media(kind: str) -> Content:
    """Build the content of one file with a caption."""

    def content(params: Params) -> Json:
        if not params.get(kind):
            raise bad_request(f"there is no {kind.replace('_', ' ')} in the request")
        caption = caption_of(params)
        shaped = shape(kind, params[kind], params)
        if kind == "animation":
            shaped["document"] = shaped["animation"]  # for clients that know no animations
        return shaped | ({"caption": caption} if caption else {})

    return content


def shape(kind: str, given: object, params: Params) -> Json:
    """Shape a file as the type ``kind``; an unknown kind is a document."""
    file = _file(given)
    if kind == "photo":
        return {"photo": [file | {"width": SMALL, "height": SMALL}]}
    duration_s = number_of(params, "duration") or 1
    extras: dict[str, Json] = {
        "video": {"width": SMALL, "height": SMALL, "duration": duration_s},
        "animation": {"width": SMALL, "height": SMALL, "duration": duration_s},
        "live_photo": {"width": SMALL, "height": SMALL, "duration": duration_s},
        "video_note": {"length": SMALL, "duration": duration_s},
        "audio": {"duration": duration_s},
        "voice": {"duration": duration_s},
        "sticker": {
            "type": "regular",
            "width": SMALL,
            "height": SMALL,
            "is_animated": False,
            "is_video": False,
        },
    }
    return {kind: file | extras[kind]} if kind in extras else {"document": file}


def sent_by_user(kind: str, *, number: int) -> Json:
    """Contain a file that a user sends; ``number`` tells one from another."""
    return shape(kind, f"user-{kind}-{number}", {})


def album(params: Params) -> list[Json]:
    """Contain the items of an album, one message each; a single item is an ordinary message.

    Raises:
        Refused: There is nothing in it, or more than ten.
    """
    items = bounded_list(
        params,
        "media",
        least=1,
        most=ALBUM_LIMIT,
        few="there are no messages to send",
        many="too many messages to send as an album",
    )
    group = {"media_group_id": str(random.getrandbits(50))} if len(items) > 1 else {}
    return [input_media(item) | group for item in items]


def input_media(item: object) -> Json:
    """Contain one InputMedia, of an album or of an edit."""
    if not isinstance(item, dict) or not item.get("media"):
        raise bad_request("can't parse InputMedia: media is missing")
    kind = str(item.get("type", ""))
    if kind not in INPUT_KINDS:
        raise bad_request(f'can\'t parse InputMedia: type "{kind}" is unknown')
    caption = caption_of(item)
    return shape(kind, item["media"], item) | ({"caption": caption} if caption else {})


def edited_media(params: Params) -> Json:
    """Contain what ``editMessageMedia`` puts into a message."""
    return input_media(json_of(params, "media"))


def caption(params: Params) -> Json:
    """Contain a new caption, or none."""
    given = caption_of(params)
    return {"caption": given} if given else {}


def paid_media(params: Params) -> Json:
    """Contain media that cost stars."""
    items = bounded_list(params, "media", least=1, most=PAID_MEDIA_LIMIT, few="there are no media in the request")
    caption_of(params)
    shaped = [{"type": "preview", "width": SMALL, "height": SMALL} for _ in items]
    return {"paid_media": {"star_count": number_of(params, "star_count") or 1, "paid_media": shaped}}


def location(params: Params) -> Json:
    """Contain a place on the map."""
    latitude, longitude = decimal_of(params, "latitude"), decimal_of(params, "longitude")
    if latitude is None or longitude is None:
        raise bad_request("location is invalid")
    place: Json = {"latitude": latitude, "longitude": longitude}
    live_period_s = number_of(params, "live_period")
    return {"location": place | ({"live_period": live_period_s} if live_period_s else {})}


def venue(params: Params) -> Json:
    """Contain a place with a name."""
    require(params, "title", "address")
    place = location(params)["location"]
    described = {"location": place, "title": str(params["title"]), "address": str(params["address"])}
    return {"venue": described, "location": place}


def contact(params: Params) -> Json:
    """Contain a phone number."""
    require(params, "phone_number", "first_name")
    return {"contact": {"phone_number": str(params["phone_number"]), "first_name": str(params["first_name"])}}


def dice(params: Params) -> Json:
    """Contain a throw, decided here."""
    emoji = str(params.get("emoji") or "🎲")
    return {"dice": {"emoji": emoji, "value": random.randint(1, DICE_FACES.get(emoji, 6))}}


def poll(params: Params) -> Json:
    """Contain a poll without votes."""
    require(params, "question")
    if is_longer(str(params["question"]), QUESTION_LENGTH):
        raise bad_request(f"poll question length must not exceed {QUESTION_LENGTH}")
    options = bounded_list(
        params,
        "options",
        least=1,
        most=OPTIONS_LIMIT,
        few="poll must have at least one answer option",
        many=f"poll can't have more than {OPTIONS_LIMIT} options",
    )
    bounded_list(params, "country_codes", most=COUNTRIES_LIMIT)
    texts = [str(option.get("text", "")) if isinstance(option, dict) else str(option) for option in options]
    if any(is_longer(each, OPTION_LENGTH) for each in texts):
        raise bad_request(f"poll options length must not exceed {OPTION_LENGTH}")
    return {"poll": open_poll(str(params["question"]), texts, kind=str(params.get("type") or "regular"))}


def open_poll(question: str, options: list[str], *, kind: str = "regular") -> Json:
    """Shape a poll without votes."""
    return {
        "id": str(random.getrandbits(60)),
        "question": question,
        "options": [
            {"persistent_id": str(number), "text": option, "voter_count": 0} for number, option in enumerate(options)
        ],
        "total_voter_count": 0,
        "is_closed": False,
        "is_anonymous": True,
        "type": kind,
        "allows_multiple_answers": False,
        "allows_revoting": True,
        "members_only": False,
    }


def invoice(params: Params) -> Json:
    """Contain a bill."""
    require(params, "title", "description", "payload", "currency", "prices")
    bounded_list(
        params,
        "suggested_tip_amounts",
        most=TIPS_LIMIT,
        many=f"there can be at most {TIPS_LIMIT} suggested tip amounts",
    )
    amounts = [price.get("amount", 0) for price in list_of(params, "prices") if isinstance(price, dict)]
    return {
        "invoice": {
            "title": str(params["title"]),
            "description": str(params["description"]),
            "start_parameter": str(params.get("start_parameter") or ""),
            "currency": str(params["currency"]),
            "total_amount": sum(amount for amount in amounts if isinstance(amount, int)),
        }
    }


def game(params: Params) -> Json:
    """Contain a game."""
    require(params, "game_short_name")
    name = str(params["game_short_name"])
    picture = _file(name) | {"width": SMALL, "height": SMALL}
    return {"game": {"title": name, "description": name, "photo": [picture]}}


def checklist(params: Params) -> Json:
    """Contain a list of tasks."""
    given = json_of(params, "checklist")
    if not isinstance(given, dict):
        raise bad_request("checklist is empty")
    tasks = [task for task in bounded_list(given, "tasks", least=1, most=TASKS_LIMIT) if isinstance(task, dict)]
    shaped = [{"id": task.get("id", 0), "text": task.get("text", "")} for task in tasks]
    return {"checklist": {"title": given.get("title", ""), "tasks": shaped}}


def rich(params: Params) -> Json:
    """Contain a rich message, of which only the blocks' absence is simulated."""
    require(params, "rich_message")
    return {"rich_message": {"blocks": []}}


def forwarded(params: Params) -> Json:
    """Contain that a message was forwarded; what it contained is found in its chat."""
    return copied(params) | {
        "forward_origin": {"type": "hidden_user", "sender_user_name": "somebody", "date": 1},
    }


def copied(params: Params) -> Json:
    """Contain nothing of one's own: what is copied is found in its chat."""
    require(params, "from_chat_id")
    if number_of(params, "message_id") is None:
        raise bad_request("message identifier is not specified")
    return {}


def nothing(_: Params) -> Json:
    """Contain nothing new: only the keyboard of a message was changed."""
    return {}


CONTENTS: dict[str, Content] = {
    "sendMessage": text,
    "sendPhoto": media("photo"),
    "sendAudio": media("audio"),
    "sendDocument": media("document"),
    "sendVideo": media("video"),
    "sendAnimation": media("animation"),
    "sendVoice": media("voice"),
    "sendVideoNote": media("video_note"),
    "sendSticker": media("sticker"),
    "sendLivePhoto": media("live_photo"),
    "sendPaidMedia": paid_media,
    "sendLocation": location,
    "sendVenue": venue,
    "sendContact": contact,
    "sendDice": dice,
    "sendPoll": poll,
    "sendInvoice": invoice,
    "sendGame": game,
    "sendChecklist": checklist,
    "sendRichMessage": rich,
}

SEND_FILES = frozenset(
    """
    sendPhoto sendAudio sendDocument sendVideo sendAnimation sendVoice sendVideoNote sendSticker sendLivePhoto
    """.split()
)

EDITS: dict[str, Content] = {
    "editMessageText": text,
    "editMessageCaption": caption,
    "editMessageMedia": edited_media,
    "editMessageReplyMarkup": nothing,
    "editMessageLiveLocation": location,
    "editMessageChecklist": checklist,
    "stopMessageLiveLocation": nothing,
    "setGameScore": nothing,
}


def _file(given: object) -> Json:
    """Shape a file; one that is sent again by its id keeps it."""
    if isinstance(given, Upload):
        return {
            "file_id": given.file_id,
            "file_unique_id": given.sha256,  # as at Telegram, the same file has the same one
            "file_size": given.size_bytes,
        }
    file_id = str(given)
    return {"file_id": file_id, "file_unique_id": f"sim{crc32(file_id.encode()):08x}"}
