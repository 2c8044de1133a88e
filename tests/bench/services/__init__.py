"""What the benchmarks of the calls to services judge is judged right, and a short form of each finds nothing broken."""
