"""Power cuts: samples by a fixed seed, about half of the single ones on LittleFS.

``make powercuts`` tries all.
"""

import contextlib
import io
from collections.abc import Callable

import pytest

from tests.conftest import TOLD_AT_THE_END
from tests.powercuts.__main__ import SCENARIOS, Tally, report, run, simulate
from tests.support.device import interpreter_command

pytestmark = [pytest.mark.real, pytest.mark.long]

SINGLES = {"lfs": 750, "pycom-lfs": 100, "card-fat": 200, "flash-fat": 40, "pycom-fat": 40}
FIRSTS_OF_PAIRS = {"lfs": 4, "pycom-lfs": 2, "card-fat": 2}
FILLED = {"lfs": 20, "pycom-lfs": 10, "card-fat": 20}
# What FAT on flash can't survive: a sector is erased before it is written anew.
MOST_LOST = {"flash-fat": 0.35, "pycom-fat": 0.35}


@pytest.fixture(autouse=True)
def micropython() -> None:
    interpreter_command("micropython")


TryCuts = Callable[[str, str, str, int], Tally]


@pytest.fixture
def try_cuts(record_property: Callable[[str, object], None]) -> TryCuts:
    def try_cuts(kind: str, scenario: str, what: str, sample: int) -> Tally:
        tally = run(kind, scenario, what, sample, workers=1)
        with contextlib.redirect_stdout(io.StringIO()) as told:
            report(kind, scenario, what, tally)
        record_property(TOLD_AT_THE_END, told.getvalue())
        return tally

    return try_cuts


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("kind", SINGLES)
def test_single_cuts(kind: str, scenario: str, try_cuts: TryCuts) -> None:
    tally = try_cuts(kind, scenario, "single", SINGLES[kind])
    assert tally.tried >= SINGLES[kind]
    if kind in MOST_LOST:
        # All survived would mean that the loss is not simulated.
        assert 0 < tally.tried - tally.survived <= tally.tried * MOST_LOST[kind]
    else:
        assert tally.survived == tally.tried, tally.first_losses


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("kind", FIRSTS_OF_PAIRS)
def test_pairs_of_cuts(kind: str, scenario: str, try_cuts: TryCuts) -> None:
    tally = try_cuts(kind, scenario, "pairs", FIRSTS_OF_PAIRS[kind])
    assert tally.tried > 10 * FIRSTS_OF_PAIRS[kind]
    assert tally.survived == tally.tried, tally.first_losses


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("kind", FILLED)
def test_cuts_with_a_flash_that_the_release_has_filled(
    kind: str, scenario: str, try_cuts: TryCuts
) -> None:
    tally = try_cuts(kind, scenario, "filled", FILLED[kind])
    assert tally.tried == FILLED[kind]
    assert tally.survived == tally.tried, tally.first_losses


@pytest.mark.parametrize("scenario", ["confirm", "rollback"])
@pytest.mark.parametrize("kind", ["lfs", "card-fat"])
def test_nearly_full_flash(kind: str, scenario: str) -> None:
    """What is accepted can be installed and undone, however little is left."""
    line = simulate(kind, scenario, "full", ["full"])[0]
    job, result, accepted = line.split()
    assert (job, result) == ("full", "ok"), line
    assert int(accepted) > 10
