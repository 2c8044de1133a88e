"""What the API is given, and the one way in which it refuses.

Read in this order:

    dependencies         everything that the endpoints use
    ports                what it needs of the bot side
    repositories         what it needs of storage
    errors               every refusal, with its status
    validation_messages  what is wrong with a request, as a sentence
    redaction            texts without tokens, and cut to a length
"""
