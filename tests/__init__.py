"""The tests mirror the sources; ``tour/`` is what to read first.

What ``engine/sending/worker.py`` promises stands in ``tests/engine/sending/test_worker.py``. A file is named after the
module that it tests, or after the room, and may add an aspect: ``test_worker_shutdown.py``. ``end_to_end/`` runs the
whole program, ``chaos/`` many of them; ``project/`` tests what holds for the repository as a whole, this rule included.
"""

from pathlib import Path

ROOT = Path(__file__).parent.parent
"""The repository."""
