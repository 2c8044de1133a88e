"""The files of broadcasts: kept once, uploaded once for each bot, and sent by their ``file_id``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from tempogram.api.core.ports import Composer, Refusal
from tempogram.api.core.redaction import short
from tempogram.bot.telegram.attachments import Attachments
from tempogram.bot.telegram.call_body import ATTACHED, THUMBNAIL, file_references, owner_of
from tempogram.engine.broadcasts.board import SAMPLE_CHAT
from tempogram.engine.model.broadcasts import Content, Plan
from tempogram.engine.model.messages import Outgoing
from tempogram.storage.files.spool import Spooled


class BroadcastMedia:
    """See ``api.core.ports.BroadcastMedia``.

    They are kept under the id of a message that is never submitted, and that all recipients' messages name.
    """

    def __init__(self, composer: Composer, attachments: Attachments) -> None:
        self._composer = composer
        self._attachments = attachments

    async def keep(self, plan: Plan, files: Mapping[str, Spooled]) -> Plan:
        """See ``api.core.ports.BroadcastMedia``."""
        content = plan.content
        if not files and ATTACHED not in str(content.params):
            return plan
        sample = self._composer.compose(plan.selection.bot_id, SAMPLE_CHAT, content.method, content.params, files=files)
        params = msgspec.json.decode(sample.params)
        _check_files(sample, params, files)
        if not files:
            return plan
        await self._attachments.keep(sample, files, for_many=True)
        for reference in file_references(params):
            reference.put(f"{ATTACHED}{sample.id}/{reference.name}")
        return replace(plan, content=replace(content, params={**content.params, **params}, media=sample.id))

    async def forget(self, plan: Plan) -> None:
        """See ``api.core.ports.BroadcastMedia``."""
        if plan.content.media is not None:
            await self._attachments.forget_kept(plan.content.media)


def files_of(content: Content, params: Mapping[str, Any]) -> list[str]:
    """Return the names of the files that the parameters of a broadcast's message name."""
    if content.media is None:
        return []
    names = (reference.name for reference in file_references(dict(params)))
    return [name for name in names if owner_of(name) == content.media]


def _check_files(sample: Outgoing, params: dict[str, Any], files: Mapping[str, Spooled]) -> None:
    for reference in file_references(params):
        if reference.name not in files:
            raise Refusal(
                f"{short(ATTACHED + reference.name)} names a file that was not given; add it to the request, or name a "
                "file by its file_id or address"
            )
        is_learned = reference.kind is not None and sample.method != PAID_MEDIA
        if not is_learned and reference.key != THUMBNAIL:
            raise Refusal(
                f"the file {files[reference.name].file_name!r} would have to be uploaded for each chat, as "
                f"{sample.method} gives no file_id of it; send it once, and name it by its file_id"
            )


PAID_MEDIA = "sendPaidMedia"
"""Its answer has previews, and no file that can be sent again."""
