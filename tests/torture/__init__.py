"""Programs that are killed, forked and worn out on a real Xen: ``make torture``.

`tests.torture.dom0` runs in dom0 and judges; ``python -m tests.torture`` boots the machine and keeps the figures.
"""
