"""One conversation for each example, the same wherever the example runs.

A module is named after its example, and has

    converse      what the users do, and what they wait for
    ENVIRONMENT   optional: variables that the example reads
    surroundings  optional: what must run beside the example; yields more variables
"""
