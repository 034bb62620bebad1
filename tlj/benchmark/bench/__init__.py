"""``tlj bench``: what strategies cost on this machine, by batch and by number of devices, and what changed since."""

from tlj.benchmark.bench.measure import bench
from tlj.benchmark.bench.table import format_bench

__all__ = ["bench", "format_bench"]
