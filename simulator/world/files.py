"""The files that bots uploaded, by the names that each bot was given for them; their bytes are dropped."""

import re
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

OURS = re.compile("sim-[0-9a-f]{32}")
"""Any other ``file_id`` is taken for one that Telegram gave, and is believed."""

FILES_KEPT = 100_000


@dataclass(slots=True)
class Files:
    """The last uploads. As at Telegram a name is of one bot and of one kind."""

    _known: OrderedDict[tuple[int, str], tuple[str, Json]] = field(default_factory=OrderedDict)

    def find(self, bot_id: int, file_id: str) -> Json | None:
        """Return the file as it was uploaded, or None."""
        return self._known.get((bot_id, file_id), ("", None))[1]

    def resolve(self, bot_id: int, kind: str, file: Json) -> str:
        """Remember a file that was uploaded; complete one that was named.

        Returns:
            Why not, in Telegram's words: it has a name of ours that this bot was never given, or for another kind.
        """
        file_id = file["file_id"]
        if "file_size" in file:
            self._keep(bot_id, file_id, kind, file)
        elif OURS.fullmatch(file_id):
            known_kind, known = self._known.get((bot_id, file_id), ("", None))
            if known is None:
                return "wrong file identifier/HTTP URL specified"
            if known_kind != kind:
                return f"can't use file of type {known_kind.capitalize()} as {kind.capitalize()}"
            file |= {name: known[name] for name in ("file_unique_id", "file_size")}
        return ""

    def _keep(self, bot_id: int, file_id: str, kind: str, file: Json) -> None:
        self._known[bot_id, file_id] = kind, file
        if len(self._known) > FILES_KEPT:
            self._known.popitem(last=False)
