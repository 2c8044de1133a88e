"""Broadcasts and their recipients.

Read in this order:

    broadcasts  what each is to do, and how far it is
    recipients  the statements over the rows of recipients
"""
