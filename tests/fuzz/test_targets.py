"""The fuzzing targets themselves, and everything that fuzzing has ever found."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from tests.fuzz.__main__ import FOUND, TIMEOUT_S
from tests.fuzz.seeds import MAX_BYTES, SEEDS
from tests.fuzz.targets import TARGETS

if TYPE_CHECKING:
    from pathlib import Path

MUTATIONS = 4  # of each seed: enough to notice a target that is broken, not to find much


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_and_a_few_mutations_of_them(target: str) -> None:
    generator = random.Random(target)
    for seed in SEEDS[target]():
        TARGETS[target](seed)
        for _ in range(MUTATIONS):
            mutated = bytearray(seed or b"\0")
            for _ in range(generator.randint(1, 8)):
                mutated[generator.randrange(len(mutated))] = generator.randrange(256)
            TARGETS[target](bytes(mutated[: generator.choice([len(mutated), MAX_BYTES[target]])]))


FINDS = sorted(FOUND.glob("*/*"))


@pytest.mark.parametrize("path", FINDS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_found_stays_mended(path: Path) -> None:
    began_s = time.process_time()
    TARGETS[path.parent.name](path.read_bytes())
    assert time.process_time() - began_s < TIMEOUT_S
