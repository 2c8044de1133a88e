"""The proxy between us and Telegram, ``TELEGRAM_PROXY``. No other call goes through it: not a language model's.

Read in this order:

    address   where it is, and which user it is to know
    errors    what it fails with
    tcp       a connection without it
    tunnel    a connection through it, and its failures
    sessions  sessions of aiohttp and aiogram through it
"""
