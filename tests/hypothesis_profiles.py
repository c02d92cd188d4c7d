"""How many examples property tests try: few where people wait, many in continuous integration.

HYPOTHESIS_PROFILE chooses; without it the profile is `ci` where CI is set in the environment, else
`default`. Both try the same examples each time, so that what fails is the change and not the day.
`search` tries new ones: for looking for faults.
"""

from __future__ import annotations

import os

from hypothesis import settings

#: Examples of a profile, as a share of what a test states.
SHARES = {"default": 0.2, "ci": 1.0, "search": 10.0}
FEWEST = 5
UNSTATED = 100  # of a test that states no number
FALSE = {"", "0", "false"}


def chosen_profile() -> str:
    """Name of the profile that holds in this process."""
    in_ci = os.environ.get("CI", "").lower() not in FALSE
    return os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if in_ci else "default")


def examples(count: int) -> int:
    """`max_examples` of a test that tries `count` in continuous integration."""
    return max(min(count, FEWEST), round(count * SHARES[chosen_profile()]))


def load() -> None:
    """Make the chosen profile that of all tests that are defined from now on.

    No deadline for one example: how long it takes depends on what else the machine does.

    Raises:
        ValueError: HYPOTHESIS_PROFILE names none of ours.
    """
    name = chosen_profile()
    if name not in SHARES:
        raise ValueError(f"HYPOTHESIS_PROFILE={name}: known are {', '.join(SHARES)}")
    settings.register_profile(
        name,
        max_examples=examples(UNSTATED),
        deadline=None,
        derandomize=name != "search",
        print_blob=True,
    )
    settings.load_profile(name)
