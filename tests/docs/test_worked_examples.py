"""The worked examples for contributors: applied to a copy of the tree, their tests pass there."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from docs.generate import markdown
from tests.docs import pages
from tests.support import ROOT

# Existing tests that the pages say a new part gets without a change, by page.
EXISTING = {
    "contributing/add-an-effect.md": ("tests/unit/test_effects.py", "tremolo"),
    "contributing/add-a-model.md": ("tests/unit/test_checkpoints.py", "wave-u-net"),
    "contributing/add-a-session-format.md": ("tests/unit/test_daw_formats.py", "lof or all_there"),
    "contributing/add-a-container.md": ("tests/unit/test_extents.py", "IRCAM"),
}


@dataclass(frozen=True)
class Step:
    """One code block of a page: a new file, or a change of one."""

    page: str
    path: str
    lines: tuple[str, ...]
    is_new: bool

    def apply(self, root: Path) -> None:
        """Write the file, or replace the lines that the change shows. Raises ValueError."""
        file = root / self.path
        if self.is_new:
            if file.exists():
                raise ValueError(f"{self.page}: {self.path} exists already")
            file.write_text("\n".join(self.lines).strip() + "\n", encoding="utf-8")
            return
        text = file.read_text(encoding="utf-8")
        before = "".join(f"{line[1:]}\n" for line in self.lines if not line.startswith("+"))
        after = "".join(f"{line[1:]}\n" for line in self.lines if not line.startswith("-"))
        if text.count(before) != 1:
            raise ValueError(f"{self.page}: {self.path} does not have once:\n{before}")
        file.write_text(text.replace(before, after), encoding="utf-8")


def steps(page: str) -> list[Step]:
    """The code blocks of a page; the first line of each names its file."""
    found = []
    for block in markdown.blocks(pages.sources()[page]):
        marker = {"python": "# ", "diff": "+++ "}.get(block.language)
        if marker is not None:
            first, *rest = block.text.splitlines()
            assert first.startswith(marker), (page, first)
            path = first.removeprefix(marker)
            found.append(Step(page, path, tuple(rest), block.language == "python"))
    return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages and tests with all pages applied."""
    root = tmp_path_factory.mktemp("tree")
    ignore = shutil.ignore_patterns("__pycache__", ".*")
    for name in ("bridge", "separator", "presets", "tests", "docs"):
        shutil.copytree(ROOT / name, root / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", root)
    for page in EXISTING:
        for step in steps(page):
            step.apply(root)
    return root


def run(tree: Path, *command: str) -> None:
    """A Python module in the tree; its output is shown when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=tree, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_examples_pass_their_tests(tree: Path) -> None:
    new = {page: [step.path for step in steps(page) if step.is_new] for page in EXISTING}
    own = {page: [path for path in new[page] if path.startswith("tests/")] for page in EXISTING}
    assert all(own.values())
    run(tree, "pytest", "-q", "-p", "no:cacheprovider", *itertools.chain(*own.values()))


@pytest.mark.thorough
@pytest.mark.parametrize("page", EXISTING)
def test_existing_tests_take_the_example_too(page: str, tree: Path) -> None:
    path, words = EXISTING[page]
    run(tree, "pytest", "-q", "-p", "no:cacheprovider", path, "-k", words)


def test_the_code_is_written_as_the_rest(tree: Path) -> None:
    new = [step.path for page in EXISTING for step in steps(page) if step.is_new]
    run(tree, "ruff", "check", "--no-cache", *new)
    run(tree, "ruff", "format", "--check", "--no-cache", *new)


def test_a_change_that_does_not_fit_would_be_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one\ntwo\n")
    with pytest.raises(ValueError, match="does not have once"):
        Step("page", "a.py", (" one", "+and", " three"), is_new=False).apply(tmp_path)
    Step("page", "a.py", (" one", "+and", " two"), is_new=False).apply(tmp_path)
    assert (tmp_path / "a.py").read_text() == "one\nand\ntwo\n"
