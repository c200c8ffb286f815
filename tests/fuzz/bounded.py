"""How many examples a property gets: few and always the same in CI, more and other ones with PARLEY_FUZZ=TIMES."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("PARLEY_FUZZ", "1"))


def bounded(examples: int) -> settings:
    """Settings for a property that CI tries with `examples`.

    In CI the examples depend on the property alone, so that a failure is the change's and not the day's; a longer run
    draws new ones each time.
    """
    return settings(
        max_examples=examples * TIMES,
        derandomize=TIMES == 1,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
