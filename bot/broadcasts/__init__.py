"""Broadcasts, as a person sees them.

Read in this order:

    media       their files, kept and uploaded once
    star_bills  what Telegram billed a bot
    words       how far they are, and what they would do, in plain words
    desk        the operators' chat: which one it is, and what is asked for there
"""
