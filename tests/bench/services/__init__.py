"""A server that counts by itself counts right, and what it sees of our limiter breaks nothing."""
