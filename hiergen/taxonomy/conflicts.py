"""What two sources (or two hypernyms) said differently, and which of them won."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Conflict:
    """Both sides of one disagreement.

    kind: `hypernym` (WordNet gives several parents), `member` (one block of groups claims a class twice) or
    `overlap` (a weaker source's group straddles a stronger one's).
    """

    kind: Literal["hypernym", "member", "overlap"]
    subject: str
    kept: str
    kept_by: str
    lost: str
    lost_by: str
    rule: str
    classes: tuple[str, ...] = ()

    def sentence(self) -> str:
        """One line for people."""
        return f"{self.subject}: {self.kept} [{self.kept_by}] over {self.lost} [{self.lost_by}]; {self.rule}"
