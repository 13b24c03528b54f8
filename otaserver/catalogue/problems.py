"""What is wrong with a release tree, and what to do about it."""

from dataclasses import dataclass
from enum import IntEnum


class Weight(IntEnum):
    """How much a problem matters; the gravest first."""

    NOT_OFFERED = 1
    """Something that was meant to be offered is not, or not to every device."""
    CHANGED = 2
    """Something is not what it was when it was first offered."""
    LEFT_OUT = 3
    """Something is left out that may not have been meant to be."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong with a tree.

    Attributes:
        weight: how much it matters.
        path: where it is, relative to the root; empty for the root itself.
        what: what is wrong, so that it reads on after the path.
        remedy: what to do about it, as a clause; empty if there is nothing to add.
    """

    weight: Weight
    path: str
    what: str
    remedy: str = ""

    @property
    def advice(self) -> str:
        """The remedy as a sentence of its own; empty if there is none."""
        return f"{self.remedy[0].upper()}{self.remedy[1:]}." if self.remedy else ""

    def __str__(self) -> str:
        """The problem as a sentence, without its full stop."""
        remedy = f": {self.remedy}" if self.remedy else ""
        return printable(f"{self.path or 'the root'} {self.what}{remedy}")


def printable(text: str) -> str:
    """Make a text safe to print that has names of files in it.

    Args:
        text: any text.

    Returns:
        The text, with ``\\r`` and the like in place of what can't be printed.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
