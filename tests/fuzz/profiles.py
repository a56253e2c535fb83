"""How long the fuzzing runs: `short` (always the same examples, the default) and `long` (a new seed each time).

HIERGEN_FUZZ=long python -m pytest tests/fuzz        about 20,000 examples in each half (pipeline, text), by the hour
HIERGEN_FUZZ_EXAMPLES=2000 …                         so many instead
HIERGEN_FUZZ=long … --hypothesis-seed=N              the examples of the run that printed this seed
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

PROFILES = ("short", "long")
PROFILE = os.environ.get("HIERGEN_FUZZ", "short")
LONG = PROFILE == "long"
TOTAL = int(os.environ.get("HIERGEN_FUZZ_EXAMPLES", "20000"))


def register() -> None:
    """Load the profile that HIERGEN_FUZZ names. Nothing is left in the source tree."""
    if PROFILE not in PROFILES:
        raise ValueError(f"HIERGEN_FUZZ={PROFILE!r}: expected one of {', '.join(PROFILES)}")
    set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "hiergen-hypothesis")
    common = settings(
        deadline=None, database=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow], max_examples=20
    )
    settings.register_profile("short", common, derandomize=True)
    settings.register_profile("long", common, derandomize=False)
    settings.load_profile(PROFILE)


def examples(short: int, share: float) -> settings:
    """Decorator: `short` examples in the short mode, in the long one `share` of TOTAL (all add to about 1)."""
    return settings(max_examples=max(1, round(share * TOTAL)) if LONG else short)
