"""What a session format cannot hold costs that clip or marker, and not the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from reaproj import Project  # type: ignore[import-untyped]

from bridge.daw import partial
from bridge.daw.partial import without_unsupported, write_what_fits
from bridge.daw.session import Clip, Marker, Session, SoundFile, Track
from bridge.errors import DiskFull, SessionDefect, SessionError
from tests.daw.sets import session, write_set

LATE = 2**60  # out of reach for REAPER, Ardour and a DAWproject


def clip(name: str, start: int = 0, folder: Path = Path("/x")) -> Clip:
    return Clip(SoundFile(folder / f"{name}.wav", 100, 2), name, start, 100)


def of(*clips: Clip, markers: tuple[Marker, ...] = (), muted: bool = False) -> Session:
    tracks = tuple(Track(one.name, (one,), muted=muted) for one in clips)
    return Session("s", 48_000, (Track("all", children=tracks),), markers)


def test_all_that_fits_is_written_whole(tmp_path: Path) -> None:
    made = of(clip("a"), clip("b", 5))
    path, left_out = write_what_fits("reaper", made, tmp_path, "s")
    assert left_out == ()
    assert len([i for t in Project.load(path).tracks for i in t.items]) == 2


@pytest.mark.parametrize("name", ["reaper", "dawproject", "ardour"])
def test_a_clip_out_of_reach_is_left_out_and_named(tmp_path: Path, name: str) -> None:
    made = of(clip("a"), clip("late", LATE), clip("b", 5), markers=(Marker("m", 7),))
    path, (reason,) = write_what_fits(name, made, tmp_path, "s")
    assert reason.startswith("late.wav: frame 1,152,921,504,606,847,076 is out of ")
    assert path.is_file()
    if name == "reaper":
        project = Project.load(path)
        assert [(t.name, len(t.items)) for t in project.tracks] == [
            *(("all", 0), ("a", 1), ("late", 0), ("b", 1))
        ]
        assert [marker.name for marker in project.markers] == ["m"]


def test_a_clip_whose_name_cannot_be_held(tmp_path: Path) -> None:
    odd = clip("two\nlines", folder=tmp_path)
    path, (reason,) = write_what_fits("m3u8", of(odd, clip("b")), tmp_path, "s")
    assert reason.startswith("two\nlines.wav: ")
    assert "rename the file" in reason
    assert "b.wav" in path.read_text("utf-8")


def test_a_marker_out_of_reach_costs_that_marker(tmp_path: Path) -> None:
    markers = (Marker("a", 1), Marker("late", LATE), Marker("b", 2))
    path, (reason,) = write_what_fits("reaper", of(clip("x"), markers=markers), tmp_path, "s")
    assert reason.startswith("marker 'late': frame 1,152,921,504,606,846,976 is out")
    assert [marker.name for marker in Project.load(path).markers] == ["a", "b"]


@pytest.mark.parametrize(
    "made",
    [of(clip("late", LATE)), of(), of(clip("late", LATE), clip("two\nlines"))],
    ids=["one", "none", "both"],
)
def test_nothing_that_plays_is_no_session(tmp_path: Path, made: Session) -> None:
    if not made.clips:
        assert write_what_fits("reaper", made, tmp_path, "s")[1] == ()
        return
    with pytest.raises(SessionError):
        write_what_fits("reaper", made, tmp_path, "s")
    assert [*tmp_path.iterdir()] == []


def test_muted_clips_alone_are_no_session(tmp_path: Path) -> None:
    """A bounce without its stems."""
    folder = Track("stems", children=(Track("late", (clip("late", LATE),)),))
    made = Session("s", 48_000, (Track("bounce", (clip("x"),), muted=True), folder))
    with pytest.raises(SessionError, match="out of REAPER's reach"):
        write_what_fits("reaper", made, tmp_path, "s")


def test_what_no_part_is_to_blame_for_is_the_whole_s(tmp_path: Path) -> None:
    """Clips that overlap: an AAF could hold each of them."""
    write_set(tmp_path / "Mix.wav", ["vocals"], frames=101)
    file = SoundFile(tmp_path / "Mix - vocals.wav", 101, 2)
    made = Session("s", 48_000, (Track("t", (Clip(file, "a", 0, 101), Clip(file, "b", 5, 96))),))
    with pytest.raises(SessionError, match="overlap"):
        write_what_fits("aaf", made, tmp_path, "s")


def test_a_muted_track_is_tried_as_what_it_is(tmp_path: Path) -> None:
    """An AAF leaves it out, so that its file need not be a WAV."""
    write_set(tmp_path / "Mix.wav", ["vocals"], frames=101)
    vocals = Clip(SoundFile(tmp_path / "Mix - vocals.wav", 101, 2), "v", 0, 101)
    flac = Clip(SoundFile(tmp_path / "Mix.flac", 101, 2), "m", 0, 101)
    mp3 = Clip(SoundFile(tmp_path / "bass.mp3", 101, 2), "b", 0, 101)
    (tmp_path / "bass.mp3").write_bytes(b"\xff\xfb\x90\0" * 100)
    tracks = (Track("m", (flac,), muted=True), Track("v", (vocals,)), Track("b", (mp3,)))
    _, (reason,) = write_what_fits("aaf", Session("s", 48_000, tracks), tmp_path, "s")
    assert reason == "bass.mp3: an AAF links to plain WAV files; choose WAV as the target"


def test_a_stem_file_is_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: "/usr/bin/true")
    tried: list[str] = []

    def refuse(name: str, *_: object, **__: object) -> Path:
        tried.append(name)
        raise SessionError("no")

    monkeypatch.setattr(partial, "write_session", refuse)
    with pytest.raises(SessionError, match="no"):
        write_what_fits("stem-mp4", session(tmp_path / "Mix.wav"), tmp_path, "s")
    assert tried == ["stem-mp4"]


@pytest.mark.parametrize("error", [SessionDefect("ours"), DiskFull("full")])
def test_what_is_no_refusal_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    tried: list[str] = []

    def fail(name: str, *_: object, **__: object) -> Path:
        tried.append(name)
        raise error

    monkeypatch.setattr(partial, "write_session", fail)
    with pytest.raises(type(error)):
        write_what_fits("reaper", of(clip("a"), clip("b")), tmp_path, "s")
    assert tried == ["reaper"]


def test_only_the_odd_ones_of_thousands_of_markers_are_tried_again() -> None:
    markers = tuple(Marker(f"m{n}", n) for n in range(3000))
    tries = 0

    def attempt(part: Session) -> None:
        nonlocal tries
        tries += 1
        if any(one.name == "late" for one in part.clips):
            raise SessionError("late")

    kept, reasons = without_unsupported(of(clip("a"), clip("late"), markers=markers), attempt)
    assert (len(kept.markers), tries) == (3000, 3)
    assert reasons == ("late.wav: late",)
