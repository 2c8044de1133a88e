"""What chats watch in a demo: the prices of a shop, which is a file beside the engine's database."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

SOURCE = "prices"
FILE = "prices.json"

BEFORE = {"tea": 9, "rye": 3}
AFTER = {"tea": 8, "rye": 4}

DIGEST = "Changed:\n• rye: price 3 → 4\n• tea: price 9 → 8"
"""What each chat that watches both is to get, once."""

SERVICES = "[shop.operations]\nitem = {count = 1_000, window_ms = 60_000, idempotent = true}\n"

MODULE = f"""
import json
from pathlib import Path

from tempogram import watched


@watched("{SOURCE}", uses="shop:item")
async def price(key):
    return {{"price": json.loads(Path("{FILE}").read_text())[key]}}
"""
"""A user's module, as docs/watches.md has it."""


def settings_of(directory: Path) -> dict[str, str]:
    """Write the shop and the module that knows it, and return the settings of an engine in this folder."""
    (directory / FILE).write_text(json.dumps(BEFORE))
    (directory / "services.toml").write_text(SERVICES)
    (directory / "demo_shop.py").write_text(MODULE)
    return {
        "BEHAVIOURS": "demo_shop",
        "SERVICES_FILE": "services.toml",
        "WATCH_PRESET": "priority",
        "WATCH_GAP_MS": "10",
        "WATCH_DEBOUNCE_S": "1",
    }


def let_an_hour_pass(directory: Path) -> None:
    """Change the prices, and date all checks back by an hour, for an engine that is down."""
    (directory / FILE).write_text(json.dumps(AFTER))
    (database,) = (directory / "data").glob("*.db")
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE watch_items SET attempted_at_ms = attempted_at_ms - 3600000")
