"""Changes ``SECRET_KEY`` under load, and measures how long that takes.

Read in this order:

    load      submits messages, and delivers updates, until each is accepted
    run       the change, with kills in the middle of it, and what came of it
    duration  how long it takes without load
"""
