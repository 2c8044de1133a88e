"""One process that calls a model through LiteLLM's Router, as its manual says for a limit of tokens, without end.

    python litellm_router.py '{"server": …, "tokens": …, "estimate": …, "redis_port": …, "callers": …, "seed": …}'

Source: https://docs.litellm.ai/docs/routing (usage-based routing v2 over Redis)
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else importing it asks the network

import litellm
from litellm import Router

ORDER = json.loads(sys.argv[1])


async def call_for_ever(router: Any, chance: random.Random) -> None:
    while True:
        estimate = round(ORDER["estimate"] * chance.uniform(0.5, 1.5))
        messages = [{"role": "user", "content": "word " * estimate}]
        try:
            await router.acompletion(model="m", messages=messages, max_tokens=estimate)
        except (litellm.RateLimitError, litellm.APIError, ValueError):
            await asyncio.sleep(0.2)


async def main() -> None:
    params = {"model": "openai/m", "api_base": f"{ORDER['server']}/llm/v1", "api_key": "none", "tpm": ORDER["tokens"]}
    router = Router(
        model_list=[{"model_name": "m", "litellm_params": params}],
        routing_strategy="usage-based-routing-v2",
        enable_pre_call_checks=True,
        redis_host="127.0.0.1",
        redis_port=ORDER["redis_port"],
        num_retries=0,
        disable_cooldowns=True,
    )
    chance = random.Random(ORDER["seed"])
    await asyncio.gather(*(call_for_ever(router, chance) for _ in range(ORDER["callers"])))


if __name__ == "__main__":
    asyncio.run(main())
