from __future__ import annotations

import asyncio
import gc
from typing import Any

from tempogram.engine.resilience.kept_count import KeptCount


async def test_a_count_that_fails_after_its_caller_gave_up_is_not_reported_as_lost() -> None:
    lost: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
    is_asked, is_closed = asyncio.Event(), asyncio.Event()

    async def count() -> int:
        is_asked.set()
        await is_closed.wait()
        raise OSError("the database is closed")

    kept = KeptCount(count)
    caller = asyncio.create_task(kept.get())
    await is_asked.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    is_closed.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del kept, caller
    gc.collect()

    assert lost == []
