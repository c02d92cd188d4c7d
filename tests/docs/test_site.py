"""`make docs` builds the whole site: strict, complete, and without files from other hosts."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs.generate import assemble, check
from tests.support import ROOT

ZENSICAL = shutil.which("zensical", path=str(Path(sys.executable).parent))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site, in a folder of its own."""
    if ZENSICAL is None:
        pytest.skip("needs the extra `docs` (make docs)")
    root = tmp_path_factory.mktemp("checkout")
    assemble.assemble(root / "build" / "docs")
    shutil.copy(ROOT / "zensical.toml", root)
    for package in ("bridge", "separator"):
        (root / package).symlink_to(ROOT / package)
    command = [ZENSICAL, "build", "--strict"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return root / "build" / "site"


def test_the_site_has_every_page_and_no_dead_link(site: Path) -> None:
    assert len([*site.rglob("*.html")]) > len([*assemble.DOCS.rglob("*.md")])
    assert list(check.problems(site)) == []


def test_the_python_api_is_in_it(site: Path) -> None:
    page = check.read(site / "reference" / "python" / "index.html")
    assert {"separator.load", "separator.separator.Separator.stream"} <= page.anchors


def test_what_is_wrong_with_a_site_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<h1 id="a"></h1><a href="b.html">1</a><a href="#a">2</a><a href="#c">3</a>'
        '<a href="http://x.org">4</a><script src="https://x.org/x.js"></script>'
    )
    (tmp_path / "a.css").write_text("@import '//x.org/x.css'; a { background: url(x.png) }")
    assert list(check.problems(tmp_path)) == [
        "a.html: b.html: no such page",
        "a.html: #c: no such anchor",
        "a.html: loads https://x.org/x.js",
        "a.css: loads //x.org/x.css",
    ]
