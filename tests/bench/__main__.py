"""The command line of the benchmarks."""

import argparse

from tests.bench import catalogue, downloads, floods, manifests

BENCHMARKS = {
    "manifests": manifests.run,
    "downloads": downloads.run,
    "catalogue": catalogue.run,
    "floods": floods.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("benchmark", choices=BENCHMARKS)
    parser.add_argument("--runs", type=int, default=5, help="how many runs the medians are of")
    parser.add_argument("--seconds", type=int, default=4, help="how long each run takes")
    options = parser.parse_args()
    BENCHMARKS[options.benchmark](options.runs, options.seconds)


main()
