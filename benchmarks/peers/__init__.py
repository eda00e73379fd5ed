"""Seesaw's dense decode beside peers, in one process: `python3 -m benchmarks.peers --help`."""
