from __future__ import annotations

import pytest

from tests.engine.scheduler.memory_tasks import MemoryTaskStore
from tests.engine.scheduler.store_contract import TaskStoreContract
from tests.fakes import START_MS


class TestMemoryTaskStore(TaskStoreContract):
    @pytest.fixture
    def store(self) -> MemoryTaskStore:
        return MemoryTaskStore(lambda: START_MS + 1_000_000)
