"""Many processes, and everything that may happen to them and to what they lean on, all at once.

Read ``run``, then ``disturbances``, then ``judge``. By hand: ``python -m tests.chaos --minutes 10 --seed 7``.
"""
