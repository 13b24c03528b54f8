"""Cut the power at every write of an update, on real file systems; see ``make powercuts``.

``python -m tests.powercuts`` tries every single cut of the full update, and every pair of
cuts of a small one. ``--sample N`` tries N single cuts, and all that can follow N first
ones, chosen by a fixed seed.
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

# What a device is, and whether it has to survive all: see simulation.KINDS.
MUST_SURVIVE = {
    "lfs": True,
    "pycom-lfs": True,
    "card-fat": True,
    "flash-fat": False,
    "pycom-fat": False,
}
SCENARIOS = ("confirm", "rollback", "unconfirmed")
SINGLES_AT_ONCE = 100
FIRSTS_AT_ONCE = 2
FILLED_AT_ONCE = 40
BATCH_TIMEOUT_S = 900
SEED = 4


@dataclass
class Tally:
    """What became of a set of cuts."""

    tried: int = 0
    survived: int = 0
    without_boot_py: int = 0
    losses: collections.Counter[str] = field(default_factory=collections.Counter)
    first_losses: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        job, result, *details = line.split(" ", 2)
        if result == "unfired":
            return
        self.tried += 1
        if result == "ok":
            self.survived += 1
            self.without_boot_py += details[0].endswith("without boot.py")
        else:
            self.losses[details[0].partition("(")[2].partition(":")[0]] += 1
            self.first_losses.append(f"{job}: {details[0]}")


def simulate(
    kind: str, scenario: str, size: str, jobs: list[str], libraries: str = str(PROJECT / "device")
) -> list[str]:
    """Run jobs in one MicroPython; return its line for each update that it tried."""
    script = PROJECT / "tests" / "powercuts" / "simulation.py"
    command = [*micropython_command(), "-X", "heapsize=32m", str(script)]
    done = subprocess.run(
        [*command, libraries, kind, scenario, size, *jobs],
        capture_output=True,
        text=True,
        timeout=BATCH_TIMEOUT_S,
    )
    # Beside these there is what MicroPython says when it closes files on a dead chip.
    lines = [line[4:] for line in done.stdout.splitlines() if line.startswith("job ")]
    if done.returncode or not done.stdout.endswith("done\n"):
        raise RuntimeError(f"the simulation broke off: {done.stdout[-500:]}{done.stderr}")
    return lines


def count_writes(kind: str, scenario: str, size: str) -> int:
    """Return how many writes the scenario makes when nothing is cut."""
    return int(simulate(kind, scenario, size, ["count"])[0].split()[2])


def single_cuts(writes: int) -> list[str]:
    return [str(cut) for cut in range(2 * writes)]


def pairs_of_cuts(writes: int) -> list[str]:
    return [f"{first},*" for first in range(2 * writes)]


# Which update they are tried on, how they are named, and how many go into one batch.
CUTS = {
    "single": ("full", single_cuts, SINGLES_AT_ONCE),
    "pairs": ("small", pairs_of_cuts, FIRSTS_AT_ONCE),
    # The application fills the flash during the trial.
    "filled": ("filled", single_cuts, FILLED_AT_ONCE),
}


def run(kind: str, scenario: str, what: str, sample: int | None, workers: int) -> Tally:
    """Try all cuts, or a sample, and tally what came of them."""
    size, jobs_of, batch = CUTS[what]
    jobs = chosen(jobs_of(count_writes(kind, scenario, size)), sample)
    batches = [jobs[at : at + batch] for at in range(0, len(jobs), batch)]
    tally = Tally()
    with ThreadPoolExecutor(workers) as pool:
        for lines in pool.map(lambda jobs: simulate(kind, scenario, size, jobs), batches):
            for line in lines:
                tally.add(line)
    return tally


def chosen(jobs: list[str], sample: int | None) -> list[str]:
    if sample is None or sample >= len(jobs):
        return jobs
    return random.Random(SEED).sample(jobs, sample)


def report(kind: str, scenario: str, what: str, tally: Tally) -> None:
    print(
        f"{kind:9} {scenario:12} {what:6}: {tally.tried:6} cut, {tally.survived:6} survived"
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
    parser.add_argument("--kind", choices=MUST_SURVIVE, action="append")
    parser.add_argument("--scenario", choices=SCENARIOS, action="append")
    parser.add_argument("--cuts", choices=CUTS, action="append")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    lost = 0
    for what in options.cuts or CUTS:
        for kind in options.kind or MUST_SURVIVE:
            for scenario in options.scenario or SCENARIOS:
                tally = run(kind, scenario, what, options.sample, options.workers)
                report(kind, scenario, what, tally)
                lost += (tally.tried - tally.survived) * MUST_SURVIVE[kind]
    if lost:
        sys.exit(f"{lost} updates were lost where none may be")


if __name__ == "__main__":
    try:
        main()
    except MicroPythonUnavailable as error:
        sys.exit(f"no MicroPython: {error}")
