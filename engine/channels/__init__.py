"""What processes send each other: results for callers that wait, and changes that others keep in memory.

Read in this order:

    memory_results    results in a single process
    memory_changes    changes in a single process: there are none
    redis_channel     what the two Redis channels share
    redis_results     results from the process that sends to the one that waits
    redis_changes     changes to all other processes
    results_codec     a result as bytes
    reconnect         the condition and the pauses of an outage
"""
