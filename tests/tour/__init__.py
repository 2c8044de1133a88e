"""Ten short tests to read first, in order: what the engine promises, and how to test what you build on it."""
