"""What a call may refer to: messages that exist, buttons that were pressed, in Telegram's words when they do not.

A reference is resolved after a call's own parameters were checked and before it is counted against the limits;
it returns what the answer is built on.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tempogram.simulator.methods.calls import Call, Params, bad_request
from tempogram.simulator.methods.message_contents import Json
from tempogram.simulator.methods.params import flag_of, json_of, number_of
from tempogram.simulator.world.world import World

Reference = Callable[[World, Call, Any], Any]

NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same "
    "as a current content and reply markup of the message"
)
# An animation is shown as a document, too; so that stands last.
MEDIA = ("photo", "video", "audio", "animation", "voice", "video_note", "live_photo", "document")
FILES = ("sticker", *MEDIA)  # a sticker has no caption
# What belongs to one message and is no content of it.
OWN = frozenset(
    (
        *("message_id", "date", "edit_date", "chat", "from", "sender_chat", "reply_to_message", "reply_markup"),
        *("message_thread_id", "is_topic_message", "media_group_id", "forward_origin"),
    )
)
# What an edit takes out of a message before it puts its own content in; a keyboard goes with every edit.
REPLACED = {
    "editmessagetext": ("text", "rich_message"),
    "editmessagecaption": ("caption",),
    "editmessagemedia": (*MEDIA, "caption"),
    "editmessagereplymarkup": (),
    "editmessagelivelocation": ("location",),
    "editmessagechecklist": ("checklist",),
}


@dataclass(frozen=True, slots=True)
class Edit:
    """The message as it was, ``{}`` if it is not kept any more, and what is put into it."""

    old: Json
    content: Json


def exists(what: str, *, refusal: str = "") -> Reference:
    """Refuse a ``message_id`` that names no message; one that was left out is refused elsewhere."""

    def resolve(world: World, call: Call, checked: Any) -> Any:
        message_id = number_of(call.params, "message_id")
        if message_id is not None and _found(world, call, call.chat_id, message_id) is None:
            raise bad_request(refusal or f"message to {what} not found")
        return checked

    return resolve


def editable(world: World, call: Call, content: Json) -> Edit:
    """Find the message to edit.

    Raises:
        Refused: There is none, it is not the bot's, it has nothing of the kind, or it would stay as it is.
    """
    if call.params.get("inline_message_id"):
        return Edit({}, content)
    old = _found(world, call, call.chat_id, number_of(call.params, "message_id") or 0)
    if old is None:
        raise bad_request("message to edit not found")
    edit = Edit(old, content)
    if old:
        _check_edit(edit, call)
    return edit


def changed(edit: Edit, call: Call) -> Json:
    """Return the message as it is after an edit, without its time."""
    name = call.method.lower()
    if name not in REPLACED:
        return edit.old | edit.content
    gone = {*REPLACED[name], "reply_markup", "edit_date"}
    kept = {field: value for field, value in edit.old.items() if field not in gone}
    return kept | edit.content | keyboard(call.params)


def keyboard(params: Params) -> Json:
    """Return the inline keyboard of a message; other keyboards are not shown in it."""
    if not params.get("reply_markup"):
        return {}
    markup = json_of(params, "reply_markup")
    return {"reply_markup": markup} if isinstance(markup, dict) and markup.get("inline_keyboard") else {}


def replied_to(params: Params) -> tuple[int | None, bool]:
    """Return the message that is replied to, and whether the reply goes also without it."""
    if "reply_parameters" not in params:
        return number_of(params, "reply_to_message_id"), flag_of(params, "allow_sending_without_reply")
    given = json_of(params, "reply_parameters")
    if not isinstance(given, dict):
        return None, True
    # A message of another chat is shown in another form, and not checked.
    elsewhere = given.get("chat_id") not in {None, params.get("chat_id"), str(params.get("chat_id"))}
    return number_of(given, "message_id"), elsewhere or flag_of(given, "allow_sending_without_reply")


def answerable(world: World, call: Call, checked: Any) -> Any:
    """Refuse a reply to a message that is not there."""
    if "reply_parameters" not in call.params and "reply_to_message_id" not in call.params:
        return checked
    message_id, goes_without = replied_to(call.params)
    if message_id is not None and not goes_without and _found(world, call, call.chat_id, message_id) is None:
        raise bad_request("message to be replied not found")
    return checked


def with_files(reference: Reference) -> Reference:
    """Find the files that contents name among those that were uploaded, and remember new ones."""

    def found(world: World, call: Call, checked: Any) -> Any:
        for content in checked if isinstance(checked, list) else (checked,):
            kind = next((kind for kind in FILES if kind in content), "")
            shown = content.get(kind, [])
            for file in shown if isinstance(shown, list) else [shown]:
                reason = world.files.resolve(call.bot.bot_id, kind, file)
                if reason:
                    raise bad_request(reason)
        return reference(world, call, checked)

    return found


def source(what: str) -> Reference:
    """Find the message that is forwarded or copied; its content is what the new one contains."""

    def resolve(world: World, call: Call, content: Json) -> Json:
        from_chat_id = _source_chat_id(world, call)
        original = _found(world, call, from_chat_id, number_of(call.params, "message_id") or 0)
        if original is None:
            raise bad_request(f"message to {what} not found")
        return content | content_of(original)

    return resolve


def sources(what: str) -> Reference:
    """Find the messages that are forwarded or copied together; those that are not there are skipped."""

    def resolve(world: World, call: Call, ids: list[int]) -> list[Json]:
        from_chat_id = _source_chat_id(world, call)
        found = [_found(world, call, from_chat_id, message_id) for message_id in ids]
        originals = [content_of(original) for original in found if original is not None]
        if not originals:
            raise bad_request(f"there are no messages to {what}")
        return originals

    return resolve


def asked(kind: str) -> Reference:
    """Refuse an answer to a query that was not asked."""

    def resolve(world: World, call: Call, checked: Any) -> Any:
        query = world.queries.get(str(call.params.get(f"{kind}_id", "")))
        is_known = query is not None and query.bot_id == call.bot.bot_id and query.kind == kind
        if not is_known and not world.settings.accept_any_message:
            raise bad_request("query is too old and response timeout expired or query ID is invalid")
        return checked

    return resolve


def content_of(message: Json) -> Json:
    """Return what a message contains; of a forgotten one, a text that says so."""
    content = {name: value for name, value in message.items() if name not in OWN}
    return content or {"text": "a message that is not kept any more"}


def has_any(message: Json, names: Iterable[str]) -> bool:
    """Tell whether a message has one of these fields."""
    return any(name in message for name in names)


def _found(world: World, call: Call, chat_id: int, message_id: int) -> Json | None:
    found = world.messages.find(call.bot.bot_id, chat_id, message_id)
    return {} if found is None and world.settings.accept_any_message else found


def _source_chat_id(world: World, call: Call) -> int:
    chat_id = world.chat_id_of(call.params.get("from_chat_id"))
    if chat_id is None:
        raise bad_request("chat not found")
    return chat_id


def _check_edit(edit: Edit, call: Call) -> None:
    sender = edit.old.get("from")
    if sender is not None and sender["id"] != call.bot.bot_id:
        raise bad_request("message can't be edited")
    name = call.method.lower()
    if name == "editmessagetext" and not has_any(edit.old, ("text", "rich_message")):
        raise bad_request("there is no text in the message to edit")
    if name == "editmessagecaption" and not has_any(edit.old, (*MEDIA, "paid_media")):
        raise bad_request("there is no caption in the message to edit")
    unchanged = {field: value for field, value in edit.old.items() if field != "edit_date"}
    if name in REPLACED and changed(edit, call) == unchanged:
        raise bad_request(NOT_MODIFIED)
