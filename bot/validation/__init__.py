"""Refuses a call that Telegram is certain to refuse, before it waits for a place.

Read in this order:

    parameter_types   each parameter has a type that its method declares
    parameter_limits  no list and no text is longer than Telegram takes
"""
