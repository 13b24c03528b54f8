"""Cut the power at every write of an update, on real file systems; see ``make powercuts``.

``python -m tests.powercuts`` tries every single cut of the full update and every pair
of cuts of a small one. ``--sample N`` tries N of each, chosen by a fixed seed.
"""

import argparse
import collections
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.support.micropython import PROJECT, MicroPythonUnavailable, micropython_command

FILE_SYSTEMS = ("lfs", "fat", "pycom-fat")
SCENARIOS = ("confirm", "rollback", "unconfirmed")
BATCH = 100
BATCH_TIMEOUT_S = 600
SEED = 4


@dataclass
class Tally:
    """What became of a set of cuts."""

    tried: int = 0
    survived: int = 0
    without_boot_py: int = 0
    losses: collections.Counter = field(default_factory=collections.Counter)
    first_losses: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        job, _, result = line.partition(" ")
        self.tried += 1
        self.survived += result.startswith("ok")
        self.without_boot_py += result.endswith("without boot.py")
        if result.startswith("LOST"):
            self.losses[result.partition("(")[2].partition(":")[0]] += 1
            self.first_losses.append(f"{job}: {result}")


def simulate(kind: str, scenario: str, size: str, jobs: list[str]) -> list[str]:
    """Run jobs in one MicroPython; return its line for each."""
    script = PROJECT / "tests" / "powercuts" / "simulation.py"
    command = [*micropython_command(), "-X", "heapsize=4m", str(script)]
    done = subprocess.run(
        [*command, str(PROJECT / "device"), kind, scenario, size, *jobs],
        capture_output=True,
        text=True,
        timeout=BATCH_TIMEOUT_S,
    )
    # Beside these there is what MicroPython says when it closes files on a dead chip.
    lines = [line[4:] for line in done.stdout.splitlines() if line.startswith("job ")]
    if done.returncode or len(lines) != len(jobs):
        raise RuntimeError(f"the simulation broke off: {done.stdout[-500:]}{done.stderr}")
    return lines


def count_writes(kind: str, scenario: str, size: str) -> int:
    """Return how many writes the scenario makes when nothing is cut."""
    line = simulate(kind, scenario, size, ["count"])[0]
    if not line.startswith("count ok "):
        raise RuntimeError(line)
    return int(line.split()[2])


def single_cuts(writes: int) -> list[str]:
    return [str(cut) for cut in range(2 * writes)]


def pairs_of_cuts(writes: int) -> list[str]:
    # A second cut that lies beyond the last write does nothing, and counts as no cut.
    return [f"{first},{second}" for first in range(2 * writes) for second in range(2 * writes)]


# Which update they are tried on, and how they are named to the simulation.
CUTS = {"single": ("full", single_cuts), "pairs": ("small", pairs_of_cuts)}


def run(kind: str, scenario: str, size: str, jobs: list[str], workers: int) -> Tally:
    """Try all jobs and tally their results."""
    tally = Tally()
    batches = [jobs[at : at + BATCH] for at in range(0, len(jobs), BATCH)]
    with ThreadPoolExecutor(workers) as pool:
        for lines in pool.map(lambda batch: simulate(kind, scenario, size, batch), batches):
            for line in lines:
                tally.add(line)
    return tally


def chosen(jobs: list[str], sample: int | None) -> list[str]:
    if sample is None or sample >= len(jobs):
        return jobs
    return random.Random(SEED).sample(jobs, sample)


def report(kind: str, scenario: str, what: str, tally: Tally) -> None:
    print(
        f"{kind:10} {scenario:12} {what:6}: {tally.tried:6} cut, {tally.survived:6} survived"
        + (f", {tally.without_boot_py} through main.py" if tally.without_boot_py else ""),
        flush=True,
    )
    for reason, count in tally.losses.most_common():
        print(f"    {count:5} lost: {reason}")
    for line in tally.first_losses[:3]:
        print(f"        e.g. {line[:200]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, help="how many of each to try; all if not given")
    parser.add_argument("--file-system", choices=FILE_SYSTEMS, action="append")
    parser.add_argument("--cuts", choices=CUTS, action="append")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    lost_on_littlefs = 0
    for kind in options.file_system or FILE_SYSTEMS:
        for scenario in SCENARIOS:
            for what in options.cuts or CUTS:
                size, jobs_of = CUTS[what]
                jobs = chosen(jobs_of(count_writes(kind, scenario, size)), options.sample)
                tally = run(kind, scenario, size, jobs, options.workers)
                report(kind, scenario, what, tally)
                if kind == "lfs":
                    lost_on_littlefs += tally.tried - tally.survived
    if lost_on_littlefs:
        sys.exit(f"LittleFS lost {lost_on_littlefs} updates")


if __name__ == "__main__":
    try:
        main()
    except MicroPythonUnavailable as error:
        sys.exit(f"no MicroPython: {error}")
