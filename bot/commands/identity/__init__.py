"""Who is let in, over the API. The admin token of the settings makes the first user.

Read in this order:

    users   ``tempogram users``
    tokens  ``tempogram tokens``
"""
