"""Benchmarks: one question a file, each checks itself. ``harness`` starts what they measure.

python -m bench               all of them, one after another
python -m bench.one_bot       one of them
python -m bench.one_bot --broken   the same with a limiter that leaks: it must fail
"""
