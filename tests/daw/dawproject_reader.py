"""A reader of DAWprojects apart from our writer, and the public schema."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from lxml import etree  # type: ignore[import-untyped]

from tests.support import require

if TYPE_CHECKING:
    from collections.abc import Iterator


def schema(name: str) -> etree.XMLSchema:
    folder = require.corpus().parent / "schemas" / "dawproject"
    return etree.XMLSchema(etree.parse(folder / f"{name}.xsd"))


def project(path: Path) -> etree._Element:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["project.xml", "metadata.xml"]
        return etree.fromstring(archive.read("project.xml"))


def places(root: etree._Element, rate_hz: int) -> Iterator[tuple[str, int, int, int, str]]:
    """(name, start, length, offset, path) of every clip, in frames."""
    for outer in root.iterfind("Arrangement/Lanes/Lanes/Clips/Clip"):
        (inner,) = outer.iterfind("Clips/Clip")
        (file,) = inner.iter("File")
        assert outer.get("contentTimeUnit") == inner.get("contentTimeUnit") == "seconds"
        assert float(inner.get("time")) == float(outer.get("playStart")) == 0
        assert inner.get("duration") == outer.get("duration")
        for fade in ("fadeInTime", "fadeOutTime"):
            assert float(inner.get(fade)) == float(outer.get(fade)) == 0
        times = (outer.get("time"), outer.get("duration"), inner.get("playStart"))
        start, length, offset = (round(float(time) * rate_hz) for time in times)
        assert file.get("external") == "true"
        yield outer.get("name"), start, length, offset, file.get("path")
