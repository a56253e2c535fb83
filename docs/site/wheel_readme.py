"""The README as a package index can show it: without pictures, links and comments that need the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_RELATIVE = r"\((?!https?://|#)[^)]*\)"


class CustomMetadataHook(MetadataHookInterface):
    """`readme` of the metadata, from README.md."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Called by hatchling."""
        text = Path(self.root, "README.md").read_text("utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": alone(text)}


def alone(text: str) -> str:
    """Markdown without relative pictures; of relative links only their words stay, of comments nothing."""
    parts = re.split(r"(^```.*?^```$)", text, flags=re.S | re.M)  # code stays as it is
    for i in range(0, len(parts), 2):
        prose = re.sub(r"<!--.*?-->\n?", "", parts[i], flags=re.S)
        prose = re.sub(rf"^!\[[^]]*\]{_RELATIVE}\n+", "", prose, flags=re.M)
        parts[i] = re.sub(rf"\[([^]]*)\]{_RELATIVE}", r"\1", prose)
    return "".join(parts)
