"""Tempogram as a part of a user's own program: what is called by ``tempogram.send`` and its like.

Read in this order:

    current    the engine that runs in this program
    functions  the functions of ``tempogram``
"""
