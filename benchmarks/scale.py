"""How much is measured: a look, a run, or all there is.

Hides nothing; it is the one word that the command line, the suite and each benchmark share.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

T = TypeVar("T")


class Scale(str, Enum):
    """How much time a run may take: two minutes, ten, or as long as it takes."""

    QUICK = "quick"
    NORMAL = "normal"
    FULL = "full"

    @property
    def rank(self) -> int:
        """Its place from small to large."""
        return list(Scale).index(self)

    @property
    def target(self) -> str:
        """The make target that runs it."""
        return "bench" if self is Scale.NORMAL else f"bench-{self.value}"

    def pick(self, quick: T, normal: T, full: T) -> T:
        """Return what is meant for this scale."""
        return (quick, normal, full)[self.rank]
