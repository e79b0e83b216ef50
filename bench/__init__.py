"""Benchmark of pyoci against other runtimes: `python -m bench --help`."""
