"""What must outlive a process of the calls to services.

Read in this order:

    declared  what was changed of a service while it ran
    uses      what of long windows is used
"""
