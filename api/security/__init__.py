"""Who may do what.

auth   bearer tokens and roles
"""
