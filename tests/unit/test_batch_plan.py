"""What a batch would do, and where each set of stems would go."""

from __future__ import annotations

import dataclasses
import unicodedata
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.batch.plan import TO_DO, Plan, PlanState, plan_from_scan, plan_state
from bridge.intake.scan import FoundFile, Scan
from bridge.ledger.states import Job, Recipe, State
from bridge.publish.output_names import OutputNames, collision_key, output_name

FOLDER = Path("/Export")
OUT = FOLDER / "Stems"
RECIPE = Recipe("stems", "hash", "model", "version", OUT)
MANIFEST = OUT / "a" / "manifest.json"
FILES = st.lists(
    st.sampled_from(["a", "A", "b", "a (wav)", "é", "e\u0301", "x" * 250, "CON", "Take 1"]),
    min_size=1,
    max_size=3,
).flatmap(
    lambda parts: st.sampled_from([".wav", ".flac", ".WAV", ".mp3"]).map(
        lambda suffix: Path(*parts[:-1], parts[-1] + suffix)
    )
)


def found(name: str | Path) -> FoundFile:
    return FoundFile(FOLDER / name, 100, 7)


def job(state: State, **changes: object) -> Job:
    made = Job(
        id=1,
        folder=FOLDER,
        source_path=Path("a.wav"),
        size=100,
        mtime_ns=7,
        recipe=RECIPE,
        state=state,
        attempts=1,
        next_attempt_s=0.0,
        settled_s=0.0,
        created_s=0.0,
        manifest_path=MANIFEST,
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def plan(*names: str | Path, taken: dict[str, str] | None = None, jobs: dict | None = None) -> Plan:  # type: ignore[type-arg]
    return plan_from_scan(
        Scan(tuple(found(name) for name in names)),
        FOLDER,
        recipe_for=lambda _: RECIPE,
        jobs=jobs or {},
        names=OutputNames(taken or {}),
        exists=lambda _: True,
    )


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (None, PlanState.NEW),
        (job(State.DONE), PlanState.DONE),
        (job(State.DONE, manifest_path=None, code="silent"), PlanState.DONE),
        (job(State.DONE, size=99), PlanState.NEW),
        (job(State.DONE, mtime_ns=8), PlanState.NEW),
        (job(State.DONE, recipe=dataclasses.replace(RECIPE, preset_hash="other")), PlanState.NEW),
        (job(State.DONE, recipe=dataclasses.replace(RECIPE, model="other")), PlanState.NEW),
        (job(State.DONE, recipe=dataclasses.replace(RECIPE, preset_name="x")), PlanState.DONE),
        (job(State.FAILED), PlanState.FAILED),
        (job(State.FAILED, size=99), PlanState.NEW),
        (job(State.PENDING), PlanState.WAITS),
        (job(State.RUNNING), PlanState.WAITS),
    ],
)
def test_where_a_bounce_stands(known: Job | None, expected: PlanState) -> None:
    assert plan_state(found("a.wav"), RECIPE, known, lambda path: path == MANIFEST) is expected


def test_stems_that_were_removed_are_to_be_made_again() -> None:
    """A set is whole exactly when its manifest is there; nothing else is looked for."""
    asked: list[Path] = []
    state = plan_state(found("a.wav"), RECIPE, job(State.DONE), lambda p: bool(asked.append(p)))
    assert state is PlanState.GONE
    assert state in TO_DO
    assert asked == [MANIFEST]


@given(st.lists(FILES, unique=True, max_size=8), st.lists(FILES, unique=True, max_size=3))
def test_no_two_bounces_share_a_place(files: list[Path], others: list[Path]) -> None:
    taken: dict[str, str] = {}
    for other in others:
        taken[output_name(PurePosixPath(f"/elsewhere/{other}"), taken).as_posix()] = str(other)
    places = [item.place for item in plan(*files, taken=taken).items]
    keys = [collision_key(place.as_posix()) for place in places]
    assert len(set(keys)) == len(keys)
    for key in keys:
        assert not any(other.startswith(f"{key}/") for other in keys)
    for place in places:
        assert all(len(part.encode()) < 256 for part in place.parts)


@given(st.lists(FILES, unique=True, max_size=8))
def test_many_names_at_once_are_those_given_one_by_one(files: list[Path]) -> None:
    taken: dict[str, str] = {}
    given_at_once = OutputNames({})
    for file in files:
        name = output_name(file, taken)
        taken[name.as_posix()] = file.as_posix()
        assert given_at_once.assign(file) == name
        assert given_at_once.assign(file) == name  # and stays with it
        assert not given_at_once.is_free(name)


def test_twins_are_told_apart() -> None:
    twins = ["a.flac", "a.wav", "MIX.wav", "mix.wav"]
    twins += [unicodedata.normalize(form, "é.wav") for form in ("NFC", "NFD")]
    found = plan(*sorted(twins))
    assert {str(item.source): str(item.place) for item in found.items} == {
        "MIX.wav": "MIX",
        "a.flac": "a",
        "a.wav": "a (wav)",
        "e\u0301.wav": "é",
        "mix.wav": "mix (wav)",
        "é.wav": "é (wav)",
    }


def test_a_place_that_was_given_before_is_kept() -> None:
    found = plan("a.flac", "a.wav", taken={"a": "a.wav"})
    assert [str(item.place) for item in found.items] == ["a (flac)", "a"]


@given(st.permutations(["a.flac", "a.wav", "A.mp3", "b/a.wav"]))
def test_places_do_not_depend_on_the_order_of_the_jobs(order: list[str]) -> None:
    """Each asks when its turn comes, with the names that were given until then."""
    made = plan("A.mp3", "a.flac", "a.wav", "b/a.wav")
    taken: dict[str, str] = {}
    for name in order:
        taken[made.choose(PurePosixPath(name), taken).as_posix()] = name
    assert {name: place for place, name in taken.items()} == {
        item.source.as_posix(): item.place.as_posix() for item in made.items
    }


def test_who_comes_later_gets_what_is_free() -> None:
    made = plan("a.wav")
    assert str(made.choose(PurePosixPath("new.wav"), {})) == "new"
    assert str(made.choose(PurePosixPath("a.wav"), {"a": "/other/a.wav"})) == "a (wav)"
    assert str(made.choose(PurePosixPath("a.wav"), {"a": "a.wav"})) == "a"


def test_a_thousand_names_are_given_in_no_time() -> None:
    """Each is compared with all others, but those are looked at once."""
    names = [f"Song {n % 40}/Take {n:04}.wav" for n in range(1000)]
    calls = 0

    def counted(name: str) -> str:
        nonlocal calls
        calls += 1
        return name.casefold()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bridge.publish.output_names.collision_key", counted)
        plan(*names)
    assert calls < 10 * len(names)
