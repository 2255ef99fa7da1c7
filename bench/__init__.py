"""The benchmarks: how telex compares with what its users would otherwise take, every figure a ratio within one run.

__main__       the command line: `python -m bench`
question       what a benchmark is made of
rounds         contestants taking turns, each in a process of its own
worker         that process
fanout, publish_cost, latency, memory, import_time    one question each
peers          what is measured against what, one file each; anchors holds the Go program
bars           what telex promises to reach
ratios         medians and spreads
report, chart  the tables and the picture
"""
