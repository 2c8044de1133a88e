"""What the API depends on, and the one format of its errors.

Read in this order:

    monitored            what every process lets be seen of it
    dependencies         everything that an endpoint may use
    ports                what it needs of the bot side
    repositories         what it needs of storage
    errors               every error, with its status and code
    validation_messages  a validation error as a sentence
    counted              counts that are asked for often
    audit                what a request changes, as it is written down
    json_depth           how deep JSON may be
    redaction            removes tokens from texts, and shortens values
"""
