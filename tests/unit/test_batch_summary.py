"""The summary of a batch: what is counted, and the same as CSV and as a page."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bridge.batch.outcome import Outcome, OutcomeState
from bridge.batch.page import page
from bridge.batch.tables import COLUMNS, check_summary, csv_text, format_counts, write_summary
from bridge.errors import UsageError
from bridge.publish.manifest import Manifest
from tests.daw.sets import manifest

HOSTILE = "<script>alert('1')</script> & \"x\".wav"
OUT = Path("/Export/Stems")


def done(name: str, **levels: object) -> Outcome:
    """A finished bounce of two stems, the first with these levels."""
    made = Manifest.from_json(manifest(Path("/Export") / name, ("vocals", "drums"), frames=96_000))
    first = dataclasses.replace(made.stems[0], **levels)  # type: ignore[arg-type]
    made = dataclasses.replace(made, stems=(first, made.stems[1]), seconds={"separate": 1.25})
    folder = OUT / Path(name).stem
    return Outcome(Path(name), OutcomeState.DONE, "stems", "m", folder=folder, read=lambda _: made)


def ended(name: str, end: OutcomeState, reason: str) -> Outcome:
    return Outcome(Path(name), end, "stems", "m", reason, "silent")


FOUND = (
    done("a.wav", lufs=-14.24, true_peak_dbtp=0.4, gain_db=-1.0, clipped_values=1200),
    dataclasses.replace(done("b.wav"), state=OutcomeState.UNCHANGED),
    ended("c.wav", OutcomeState.FAILED, f"silent: {HOSTILE}"),
    ended(HOSTILE, OutcomeState.LEFT, "not begun"),
)


class Page(HTMLParser):
    """Text, tags and attributes of a page, as a browser would find them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href"}]
        if tag not in {"meta", "br"}:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}>"

    def handle_data(self, data: str) -> None:
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


def test_the_page_says_it_all_and_fetches_nothing() -> None:
    text = page("Stems of <Export>", FOUND, "today")
    found = Page(text)
    assert found.open == []
    assert found.links == []
    assert "script" not in found.tags
    assert not re.search(r"https?:|url\(|@import", text)
    assert "<title>Stems of &lt;Export&gt;</title>" in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    cells = found.rows
    assert ["c.wav", f"silent: {HOSTILE}"] in cells
    assert [HOSTILE, "not begun"] in cells
    (first,) = [row for row in cells if row[0].startswith("a.wav")]
    assert first[1:] == ["done", "0:02.0", "vocals 1,200 clipped", "−14.2", "0.4 over", "−1.0"]
    second = cells[cells.index(first) + 1]
    assert second == ["drums", "–", "–", "0.0"]


def test_what_went_wrong_stands_first() -> None:
    text = page("x", FOUND, "today")
    assert text.index("<h2>Failed") < text.index("<h2>Not done") < text.index("<h2>Levels")
    fine = page("x", FOUND[:1], "today")
    assert "<h2>Failed" not in fine
    assert "<h2>Not done" not in fine


def test_csv_has_a_line_for_each_stem_and_each_bounce_without() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(FOUND))))
    assert tuple(rows[0]) == COLUMNS
    assert [(row["bounce"], row["result"], row["stem"]) for row in rows] == [
        ("a.wav", "done", "vocals"),
        ("a.wav", "done", "drums"),
        ("b.wav", "unchanged", "vocals"),
        ("b.wav", "unchanged", "drums"),
        ("c.wav", "failed", ""),
        (HOSTILE, "left", ""),
    ]
    first, second = rows[:2]
    assert (first["lufs"], first["true_peak_dbtp"], first["gain_db"]) == ("-14.24", "0.4", "-1.0")
    assert (second["lufs"], second["true_peak_dbtp"]) == ("", "")
    assert (first["length_s"], first["work_s"]) == ("2.0", "1.25")
    assert Path(first["file"]) == OUT / "a" / "a - vocals.wav"
    assert rows[4]["code"] == "silent"


def test_what_is_counted() -> None:
    assert format_counts(FOUND) == "1 done, 1 unchanged, 1 failed, 1 left"
    assert format_counts(()) == "no sound files"


def test_a_name_that_is_no_text_is_written_all_the_same(tmp_path: Path) -> None:
    strange = "a\udcff.wav"
    for name in ("s.csv", "s.html"):
        write_summary(
            tmp_path / name, strange, [done(strange), ended(strange, OutcomeState.FAILED, "x")], ""
        )
    assert b"a\xff.wav" in (tmp_path / "s.csv").read_bytes()
    assert r"a\udcff.wav" in (tmp_path / "s.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["two\nlines.wav", "cr\r.wav", "crlf\r\n.wav", 'quo"te,.wav'])
def test_a_line_end_in_a_name_is_quoted(tmp_path: Path, name: str) -> None:
    write_summary(tmp_path / "s.csv", "x", [ended(name, OutcomeState.FAILED, "x")], "")
    with (tmp_path / "s.csv").open(newline="", encoding="utf-8") as file:
        assert [row["bounce"] for row in csv.DictReader(file)] == [name]


def test_an_empty_export_has_a_page_too() -> None:
    assert "no sound files" in page("x", (), "today")


@pytest.mark.parametrize("name", ["s.txt", "s", "no/such/folder/s.csv"])
def test_a_summary_that_cannot_be_is_refused_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="--summary"):
        check_summary(tmp_path / name)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UsageError, match="name a file"):
        check_summary(tmp_path / "folder.csv")
