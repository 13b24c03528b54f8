"""Benchmarks: the real server beside its peers, in one run, on one core.

``python -m tests.bench manifests`` (or ``downloads``, ``catalogue``, ``floods``). Only the
ratios are worth quoting: absolute figures are those of the machine. Each needs
two cores, one for the server and one for the load, and Debian's packages wrk
and nginx-light.
"""
