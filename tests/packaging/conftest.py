import os
import shutil
from collections.abc import Callable

import pytest


@pytest.fixture
def needs() -> Callable[[str], None]:
    """Skips a test where a program is missing, but never in CI."""

    def check(program: str) -> None:
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            if os.environ.get("CI"):
                pytest.fail(f"{program} is missing")
            pytest.skip(f"{program} is not installed")

    return check
