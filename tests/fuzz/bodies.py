"""JSON and forms, right but for something."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from random import Random
from typing import Any

DEEP = 100_000
LONG = 300_000
BATCH = 10_000

PLACE = "@odd@"
"""Stands in a value until it is replaced by what no encoder writes."""

ODD_VALUES = (
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809", "1" + "0" * 400, "1e400", "-1e400"),
    *("NaN", "Infinity", "-Infinity", "-0", "0.1", "1e-400", "01", "0x1", "1.", "true", "null", "[]", "{}", '""'),
    *(r'"\ud800"', r'"\udc00\ud800"', r'"\u0000"', r'"\x00"', '"\x01"', '"\x7f"', r'"\u202e"', '"🎈"', '"{}"', '"[[["'),
    *('"' + "a" * LONG + '"', '"' + "9" * 5_000 + '"', "9" * 5_000, "[" * 500 + "]" * 500),
    *('{"a":' * 500 + "1" + "}" * 500, "undefined", '"1_000"', "-2147483649"),
    *('"-1"', '" 5 "', '"٣"', '"@"', '"@no_chat"', '"../../etc/passwd"', '"attach://a"', '"%00"'),
)  # fmt: skip

NOT_JSON: tuple[Callable[[], bytes], ...] = (
    lambda: b"",
    lambda: b" " * LONG,
    lambda: b"\x00",
    lambda: b"[" * DEEP,
    lambda: b"[" * DEEP + b"]" * DEEP,
    lambda: b'{"a":' * DEEP,
    lambda: b'{"update_id":1,"message":' * DEEP,
    lambda: b"[" + b"{}," * (BATCH - 1) + b"{}]",
    lambda: b"[" + b"1," * BATCH + b"1]",
    lambda: b'"' + b"a" * LONG,
    lambda: b'{"a":1}{"a":1}',
    lambda: b"chat_id=5&text=a&chat_id=%ff",
    lambda: b"\xff\xfe\xfd",
)


def update(random: Random) -> Any:
    """Return an update of Telegram's."""
    user = {"id": random.randint(1, 50), "is_bot": False, "first_name": "Anna"}
    chat = {"id": user["id"], "type": "private", "first_name": "Anna"}
    message = {"message_id": random.randint(1, 10**6), "date": 1_700_000_000, "chat": chat, "from": user, "text": "hi"}
    entity = {"type": "mention", "offset": 0, "length": 2}
    kinds: dict[str, Any] = {
        "message": message | {"entities": [entity], "reply_to_message": dict(message)},
        "edited_message": message,
        "callback_query": {"id": "1", "from": user, "chat_instance": "1", "data": "a", "message": message},
        "inline_query": {"id": "1", "from": user, "query": "a", "offset": ""},
        "my_chat_member": {"chat": chat, "from": user, "date": 1, "old_chat_member": {}, "new_chat_member": {}},
    }
    kind = random.choice(list(kinds))
    return {"update_id": random.randint(1, 10**9), kind: kinds[kind]}


def message(random: Random) -> Any:
    """Return a message as ``POST /messages`` takes it."""
    given: dict[str, Any] = {"bot": random.choice(["42", 42]), "chat_id": random.randint(1, 50)}
    wishes = {
        "priority": random.choice(["high", "normal", "low"]),
        "expires_in_s": random.randint(1, 3),
        "dedup_key": str(random.randint(1, 100)),
        "delivery": random.choice(["at_least_once", "at_most_once"]),
        "send_at": "2026-01-01T00:00:00Z",
        "tag": "spring",
        "user_id": 7,
    }
    chosen = random.sample(list(wishes), random.randint(0, len(wishes)))
    given |= {name: wishes[name] for name in chosen}
    methods: dict[str, Any] = {
        "sendMessage": {"text": "a", "reply_markup": {"inline_keyboard": [[{"text": "a", "callback_data": "b"}]]}},
        "sendPhoto": {
            "photo": "an-id",
            "caption": "a",
            "caption_entities": [{"type": "bold", "offset": 0, "length": 1}],
        },
        "sendMediaGroup": {"media": [{"type": "photo", "media": "a"}, {"type": "photo", "media": "b"}]},
        "editMessageText": {"message_id": 1, "text": "b"},
        "deleteMessages": {"message_ids": [1, 2, 3]},
        "sendPoll": {"question": "a", "options": [{"text": "a"}, {"text": "b"}]},
    }
    if random.random() < 0.3:
        return given | {"text": "a"}
    method = random.choice(list(methods))
    return given | {"method": method, "params": methods[method]}


def call(random: Random) -> Any:
    """Return the parameters of a call of the Bot API."""
    given = message(random)
    return {"chat_id": given["chat_id"], **given.get("params", {"text": "a"})}


def batch(random: Random) -> Any:
    """Return some messages."""
    return [message(random) for _ in range(random.randint(1, 20))]


def json_body(random: Random, template: Callable[[Random], Any]) -> bytes:
    """Return a right body, or one with something wrong in it."""
    if random.random() < 0.1:
        return random.choice(NOT_JSON)()
    given = template(random)
    odd = [_put_odd(random, given) for _ in range(random.choice([0, 1, 1, 1, 2]))]
    text = json.dumps(given)
    for each in odd:
        text = text.replace(f'"{PLACE}"', each, 1)
    if random.random() < 0.1:
        text = text.replace("{", '{"chat_id":1,"chat_id":[],', 1)
    return _bytes_of(random, text)


def _put_odd(random: Random, given: Any) -> str:
    """Put an odd value somewhere, and return it."""
    holder = given
    while True:
        names: list[Any] = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not names:
            break
        name = random.choice(names)
        if isinstance(holder[name], dict | list) and random.random() < 0.7:
            holder = holder[name]
            continue
        holder[name] = PLACE
        break
    return random.choice(ODD_VALUES)


def _bytes_of(random: Random, text: str) -> bytes:
    body = text.encode("utf-8", "surrogatepass")
    if random.random() < 0.8:
        return body
    at = random.randint(0, len(body))
    mutations: tuple[Callable[[], bytes], ...] = (
        lambda: body[:at],
        lambda: body[:at] + random.randbytes(random.randint(1, 8)) + body[at:],
        lambda: body[:at] + b"\xed\xa0\x80" + body[at:],  # a surrogate in UTF-8
        lambda: body[:at] + b"\x00" + body[at:],
        lambda: b"\xef\xbb\xbf" + body,
        lambda: text.encode("utf-16"),
        lambda: text.encode("utf-32"),
        lambda: gzip.compress(body),
        lambda: body + body,
        lambda: body.replace(b'"', b"'"),
    )
    return random.choice(mutations)()


def form_body(random: Random) -> tuple[bytes, str]:
    """Return a form, and its content type; most have something wrong."""
    names = [
        "bot",
        "chat_id",
        "method",
        "params",
        "caption",
        "photo",
        "photo",
        "send_at",
        "a" * 100,
        "",
        "%00",
        "é\x00",
    ]
    values = [
        b"42",
        b"5",
        b"sendPhoto",
        b'{"caption":"a"}',
        b"{",
        b"\xff",
        b"1e400",
        b"NaN",
        b"[" * 2_000,
        b"x" * LONG,
        b"",
    ]
    whole = [("bot", b"42"), ("chat_id", b"5"), ("method", b"sendPhoto"), ("photo", b"bytes")]
    parts = whole + [(random.choice(names), random.choice(values)) for _ in range(random.randint(0, 4))]
    boundary = random.choice(["b", "b", "b", "--", "b" * 200])
    body = b"".join(_part(random, boundary, *each) for each in random.sample(parts, len(parts)))
    body += random.choice([f"--{boundary}--\r\n", f"--{boundary}--\r\n", "", f"--{boundary}", "\r\n"]).encode()
    right, wrong = f"; boundary={boundary}", ["", "; boundary*0=a; boundary*=b"]
    return body, "multipart/form-data" + random.choice([right] * 4 + wrong)


def _part(random: Random, boundary: str, name: str, value: bytes) -> bytes:
    is_file = name == "photo" or random.random() < 0.1
    disposition = random.choice(
        [f'form-data; name="{name}"'] * 6
        + [f"form-data; name*0={name}; name*=b", "form-data", f'form-data; name="{name}']
    )
    file_name = (
        random.choice(['; filename="a.jpg"'] * 4 + ["; filename*=utf-8''%ff%00", '; filename="../../a"'])
        if is_file
        else ""
    )
    end = random.choice(["\r\n"] * 9 + ["\n"])
    return f"--{boundary}{end}Content-Disposition: {disposition}{file_name}{end}{end}".encode() + value + end.encode()
