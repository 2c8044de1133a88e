"""aiogram as our processes import it, each time in a process of its own: here it is imported as ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests import ROOT

IMPORTED = "from tempogram.bot.telegram.aiogram_import import import_aiogram; import_aiogram()\n"

MESSAGE = "{'message_id': 7, 'date': 0, 'chat': {'id': 1, 'type': 'private'}, 'text': 'hello'}"

KINDS = """
from aiogram import methods, types
from pydantic import BaseModel
kinds = [getattr(part, name) for part in (types, methods) for name in part.__all__]
kinds = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
"""

FIELDS = """
import re
for kind in kinds:
    kind.model_rebuild()
    print(kind.__name__, [(name, re.sub("0x[0-9a-f]+", "", repr(each))) for name, each in kind.model_fields.items()])
"""


def run(folder: Path, code: str, *, deferred: bool = True) -> str:
    done = subprocess.run(
        [sys.executable, "-c", (IMPORTED if deferred else "") + code],
        env={"PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_hardly_any_type_is_built_before_it_is_used(tmp_path: Path) -> None:
    assert run(tmp_path, f"{KINDS}print(sum(kind.__pydantic_complete__ for kind in kinds) < len(kinds) / 2)") == "True"


def test_every_type_and_method_has_the_fields_that_it_has_under_plain_aiogram(tmp_path: Path) -> None:
    fields = run(tmp_path, KINDS + FIELDS)

    assert len(fields.splitlines()) > 500
    assert fields == run(tmp_path, KINDS + FIELDS, deferred=False)


def test_an_update_is_read_and_answered(tmp_path: Path) -> None:
    code = f"""
from aiogram.types import Update
update = Update.model_validate({{"update_id": 1, "message": {MESSAGE} | {{"reply_to_message": {MESSAGE}}}}})
print(update.event_type, update.message.reply_to_message.text, update.message.answer("well").text)
"""

    assert run(tmp_path, code) == "message hello well"


def test_a_users_own_classes_may_hold_types_and_be_derived_from_them(tmp_path: Path) -> None:
    code = f"""
from aiogram.types import Chat, Message
from pydantic import BaseModel, TypeAdapter
class Job(BaseModel):
    message: Message
class Room(Chat):
    pinned_twice: Message | None = None
job = Job.model_validate({{"message": {MESSAGE}}})
room = Room(id=1, type="group", pinned_message={MESSAGE}, pinned_twice={MESSAGE})
both = TypeAdapter(list[Message | bool]).validate_python([{MESSAGE}, True])
print(job.message.text, room.pinned_message.text, room.pinned_twice.message_id, both[0].text, both[1])
"""

    assert run(tmp_path, code) == "hello hello 7 hello True"


def test_a_wrong_field_is_refused_as_ever(tmp_path: Path) -> None:
    code = """
from aiogram.types import User
from pydantic import ValidationError
try:
    User(id="x", is_bot=False)
except ValidationError as error:
    print(sorted(each["loc"][0] for each in error.errors()))
"""

    assert run(tmp_path, code) == "['first_name', 'id']"


def test_many_threads_may_use_a_type_for_the_first_time_at_once(tmp_path: Path) -> None:
    code = f"""
import sys
from concurrent.futures import ThreadPoolExecutor
from aiogram.types import CallbackQuery
sys.setswitchinterval(1e-6)
def read(number):
    ann = {{"id": 1, "is_bot": False, "first_name": "Ann"}}
    query = CallbackQuery.model_validate({{"id": number, "chat_instance": "c", "from": ann, "message": {MESSAGE}}})
    return query.id, query.message.text
with ThreadPoolExecutor(8) as pool:
    print(set(pool.map(read, map(str, range(64)))) == {{(str(number), "hello") for number in range(64)}})
"""

    assert run(tmp_path, code) == "True"


def test_dialogs_which_derive_types_of_their_own_can_be_imported(tmp_path: Path) -> None:
    code = """
from aiogram_dialog.api.internal.fake_data import FakeChat
print(FakeChat(id=1, type="").id)
"""

    assert run(tmp_path, code) == "1"


def test_where_aiogram_is_imported_already_nothing_is_changed(tmp_path: Path) -> None:
    code = f"""
import aiogram
{IMPORTED}
from aiogram.methods import SendMessage
from pydantic import BaseModel
print(SendMessage.__pydantic_complete__, SendMessage.model_rebuild.__func__ is BaseModel.model_rebuild.__func__)
"""

    assert run(tmp_path, code, deferred=False) == "True True"
