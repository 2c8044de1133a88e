"""Tasks: what a user's modules and the engine itself have done at their time.

Read in this order:

    declared  ``tempogram.every`` and ``tempogram.cron``, and what they have declared
    budgets   what services allow of that which tasks use
    shortage  whether that is short now
"""
