"""A fixed sample of the power cuts; ``make powercuts`` tries them all."""

import pytest

from tests.powercuts.__main__ import (
    CUTS,
    SCENARIOS,
    chosen,
    count_writes,
    report,
    run,
    simulate,
)
from tests.support.device import interpreter_command

SAMPLE = 24
MOST_LOSSES = {"lfs": 0, "fat": 1}


@pytest.fixture(autouse=True)
def micropython():
    interpreter_command("micropython")


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("kind", MOST_LOSSES)
@pytest.mark.parametrize("what", CUTS)
def test_sample(kind, scenario, what, capsys):
    size, jobs_of = CUTS[what]
    jobs = chosen(jobs_of(count_writes(kind, scenario, size)), SAMPLE)
    tally = run(kind, scenario, size, jobs, workers=2)
    with capsys.disabled():
        print()
        report(kind, scenario, what, tally)
    assert tally.tried == SAMPLE
    # FAT has moments of its own that nothing above it can mend: see device/README.md.
    assert tally.tried - tally.survived <= MOST_LOSSES[kind], tally.first_losses


def test_a_loss_would_be_seen():
    """FAT behind a 4 KiB cache loses sectors that nothing was writing to."""
    writes = count_writes("pycom-fat", "confirm", "full")
    jobs = [str(cut) for cut in range(1, 2 * writes, 2 * (writes // 40))]
    lines = simulate("pycom-fat", "confirm", "full", jobs)
    assert any("LOST" in line for line in lines)
    assert any(" ok " in line for line in lines)
