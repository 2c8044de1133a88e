"""Watches prices of a shop: /watch tea, and a message comes when its price has changed.

python -m examples.fake_shop
SERVICES_FILE=examples/prices.toml BOT_TOKENS=123456:ABC-DEF \
BEHAVIOURS=tempogram.bot.behaviours.watches,examples.prices tempogram run

This module only says where the prices are; docs/watches.md says how often they are asked for.
"""

from __future__ import annotations

import os

from tempogram import JsonApi, watched

SHOP_API = os.getenv("SHOP_API", "http://127.0.0.1:8098")

watched(
    "prices",
    uses="shop:item",
    fetch=JsonApi(url=f"{SHOP_API}/items/{{key}}", fields={"price": "price", "in_stock": "in_stock"}),
)
