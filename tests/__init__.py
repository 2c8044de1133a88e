"""The tests mirror the sources; ``tour/`` is what to read first.

Each test file has a source file or a room: ``tests/engine/sending/test_worker.py`` tests
``engine/sending/worker.py``. A module without a file of its own is tested by its callers' (``outcome_policy`` by
``test_delivery.py``, what the API's use cases do by ``tests/api/routes``). A file is named after the module that it
tests, or after the room, and may add an aspect: ``test_worker_shutdown.py``. ``end_to_end/`` runs the whole program,
``chaos/`` many of them, and ``fuzz/`` one with odd requests; ``bench/`` tests benchmarks; ``project/`` tests what holds
for the repository as a whole, this rule included.
"""

from pathlib import Path

ROOT = Path(__file__).parent.parent
"""The repository."""
