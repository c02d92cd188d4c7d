"""Assignment of estimates to true stems, for sets with different stems.

Both sets add up to the mixture. Stems with a common name are compared directly; "other" and
"accompaniment" stand for the rest, so the sums of the remaining stems on both sides are compared.
A true stem without an estimate belongs to the model's rest. An estimate without a true stem belongs
to the reference's rest if that can contain it: piano is part of MUSDB18's "other"; vocals, drums
and bass are not, and are not scored then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

OTHER, ACCOMPANIMENT, VOCALS = "other", "accompaniment", "vocals"
REST = frozenset({OTHER, ACCOMPANIMENT})
NEVER_OTHER = frozenset({VOCALS, "drums", "bass"})
# Stems that the outputs of the baselines are compared with.
ROLES = {"percussive": "drums", "harmonic": OTHER, "centre": VOCALS, "sides": ACCOMPANIMENT}


@dataclass(frozen=True)
class Group:
    """A sum of estimates, and the sum of true stems to compare it with."""

    name: str
    estimated: tuple[str, ...]
    true: tuple[str, ...]

    @property
    def plain(self) -> bool:
        """Whether it compares a single stem with the one of the same name."""
        return self.estimated == self.true == (self.name,)

    def __str__(self) -> str:
        return f"{' + '.join(self.estimated)} against {' + '.join(self.true)}"


@dataclass(frozen=True)
class Matching:
    """Compared groups, and stems without a counterpart."""

    groups: tuple[Group, ...]
    lone_estimates: tuple[str, ...] = ()
    lone_references: tuple[str, ...] = ()

    def notes(self) -> list[str]:
        """Notes on the assignment for readers of the scores, one line each."""
        notes = [str(group) for group in self.groups if not group.plain]
        notes += [f"{name} has no true stem and is not scored" for name in self.lone_estimates]
        notes += [f"the true {name} has no estimate" for name in self.lone_references]
        return notes

    def accompaniment(self) -> Group | None:
        """All groups except the vocals as one, if there are several and the vocals are known."""
        vocals = [group for group in self.groups if group.true == (VOCALS,)]
        rest = [group for group in self.groups if group.true != (VOCALS,)]
        if not vocals or len(rest) < 2 or self.lone_references:
            return None
        estimated = tuple(name for group in rest for name in group.estimated)
        return Group(ACCOMPANIMENT, estimated, tuple(name for group in rest for name in group.true))


def match(estimated: Sequence[str], true: Sequence[str]) -> Matching:
    """Assign a model's stems to a reference's; both sets complete, each in its order."""
    roles = {name: ROLES.get(name, name) for name in estimated}
    named = tuple(
        Group(role, (name,), (role,))
        for name, role in roles.items()
        if role in true and role not in REST
    )
    taken = {name for group in named for name in (*group.estimated, *group.true)}
    left_true = tuple(name for name in true if name not in taken)
    left = tuple(name for name in estimated if name not in taken)
    joined = tuple(name for name in left if _held_by(roles[name], left_true))
    lone = tuple(name for name in left if name not in joined)
    has_rest = any(roles[name] in REST for name in joined)
    everything = not named and not lone  # the mixture against itself
    if not has_rest or not left_true or everything:
        return Matching(named, left, left_true)
    rest = Group(_rest_name(joined, left_true, roles), joined, left_true)
    return Matching((*named, rest), lone)


def _held_by(role: str, rest: Sequence[str]) -> bool:
    """Whether the stem `role` may be part of the reference's `rest`."""
    if role in REST:
        return True
    return role != VOCALS if ACCOMPANIMENT in rest else role not in NEVER_OTHER


def _rest_name(joined: Sequence[str], left_true: Sequence[str], roles: dict[str, str]) -> str:
    if ACCOMPANIMENT in (*left_true, *(roles[name] for name in joined)):
        return ACCOMPANIMENT
    return joined[0] if len(joined) == 1 else OTHER
