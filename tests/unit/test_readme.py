"""What the README says is so: its code runs, its commands parse, its tables are the code's."""

from __future__ import annotations

import functools
import json
import re
import shlex
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
import typer.main
import yaml

import separator
from bridge.audio.decode import Decoder, survey
from bridge.audio.probe import probe
from bridge.audio.targets.registry import TARGETS
from bridge.chain import effects, inspection
from bridge.chain import preset as presets
from bridge.cli import app
from bridge.config import DEFAULT_MODEL, Settings, resolve
from bridge.daw.formats import FORMATS
from bridge.errors import BounceError, PresetError
from bridge.service import Engine
from bridge.worker.client import Worker
from separator.weights import catalog
from tests.audio_files import chunk, fmt, riff
from tests.support import GOLDEN, ROOT, require

if TYPE_CHECKING:
    from collections.abc import Callable

README = (ROOT / "README.md").read_text(encoding="utf-8")
TINY_MODEL = GOLDEN / "spleeter" / "2stems.json"
RATE_HZ = 48_000
FRAMES = 96_000

FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
PROSE = FENCE.sub("", README)
# A command in a code block, perhaps behind a comment sign, and one in running text.
BLOCK_COMMAND = re.compile(r"(?<!/)\b(stembridge (?:\w+|-).*)$", re.MULTILINE)
INLINE_COMMAND = re.compile(r"`(?:time )?(stembridge [^`]+)`")


def blocks(language: str) -> list[str]:
    return [text for _, kind, text in FENCE.findall(README) if kind == language]


def block_with(words: str) -> str:
    """The one block of YAML that has these words."""
    (found,) = [text for text in blocks("yaml") if words in text]
    return found


def table(*header: str) -> list[list[str]]:
    """The rows below the header that begins so; each a list of cells."""
    lines = iter(PROSE.splitlines())
    for line in lines:
        if cells(line)[: len(header)] == list(header):
            next(lines)  # the rule
            rows: list[list[str]] = []
            for row in lines:
                if not row.startswith("|"):
                    return rows
                rows.append(cells(row))
    pytest.fail(f"no table with {header}")


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def noise(frames: int = FRAMES, channels: int = 2) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (frames, channels)).astype(np.float32)


def default_settings() -> Settings:
    """As on a machine where nothing is set."""
    return resolve(environment={"STEMBRIDGE_CONFIG": str(ROOT / "no such file.yaml")}).settings


# --- code ---


@pytest.fixture
def mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """`mix.wav` in the current folder, and the tiny network behind every model's name."""
    monkeypatch.chdir(tmp_path)
    load: Callable[..., Any] = separator.load
    monkeypatch.setattr(separator, "load", lambda _, **options: load(TINY_MODEL, **options))
    wave = noise()
    soundfile.write("mix.wav", wave, RATE_HZ, subtype="FLOAT")
    return wave


def run(snippet: str) -> None:
    exec(compile(snippet, "README.md", "exec"), {})


def test_the_array_snippet_writes_stems_that_add_up(mix: np.ndarray) -> None:
    run(blocks("python")[0])
    names = ("vocals", "accompaniment", "residual")
    waves = [soundfile.read(f"{name}.wav", dtype="float32")[0] for name in names]
    np.testing.assert_allclose(np.sum(waves, axis=0), mix, atol=1e-6)


def test_the_stream_snippet_gives_every_frame(
    mix: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    run(blocks("python")[1])
    shapes = re.findall(r"'(\w+)': \(2, (\d+)\)", capsys.readouterr().out)
    for name in ("vocals", "accompaniment"):
        assert sum(int(frames) for stem, frames in shapes if stem == name) == len(mix)
    assert "residual" not in dict(shapes)


@pytest.mark.usefixtures("mix")
def test_the_module_snippet_prints_the_shape(capsys: pytest.CaptureFixture[str]) -> None:
    run(blocks("python")[2])
    assert capsys.readouterr().out == "('vocals', 'accompaniment') (1, 2, 2, 44100)\n"


def test_every_snippet_is_tested() -> None:
    assert len(blocks("python")) == 3
    assert {kind for _, kind, _ in FENCE.findall(README)} == {
        "sh",
        "text",
        "json",
        "yaml",
        "python",
    }


# --- commands ---


def commands() -> list[str]:
    found = [
        found
        for kind in ("sh", "yaml")
        for text in blocks(kind)
        for found in BLOCK_COMMAND.findall(text)
    ]
    inline = [" ".join(command.split()) for command in INLINE_COMMAND.findall(PROSE)]
    return list(dict.fromkeys([*found, *inline]))


def find_command(words: list[str]) -> Any:
    """The command that the words lead to; what is left of them are its arguments."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    return command


@pytest.mark.parametrize("line", commands())
def test_every_command_parses(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    command = find_command(words)
    command.make_context(command.name, words)  # an unknown option or a missing argument raises


def test_an_unknown_option_would_be_noticed() -> None:
    command = find_command(["split"])
    with pytest.raises(Exception, match="No such option"):
        command.make_context("split", ["mix.wav", "--stereo", "yes"])


def test_every_command_is_mentioned() -> None:
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        for words in [f"{name} {sub}" for sub in getattr(command, "commands", ())] or [name]:
            assert re.search(rf"\b{words}\b", README), words


def test_the_table_of_formats_is_the_codes() -> None:
    rows = table("format", "file", "depth")
    assert [row[0].strip("`") for row in rows] == list(TARGETS)
    for name, suffix, depth, *_, delay in rows:
        target = TARGETS[name.strip("`")]
        assert suffix == f"`{target.suffix}`"
        assert depth.startswith("lossy") is target.lossy
        assert not int(delay) or target.lossy
        if target.rates_hz is not None:
            assert f"up to {target.rates_hz[-1] // 1000} kHz" in depth


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    wanted = set(re.findall(r"\bmake ([a-z-]+)\b *(?:#|`|$)", README, re.MULTILINE))
    assert {"demo", "test", "check", "bench", "wheel"} <= wanted
    assert wanted <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


# --- presets, effects, models, settings ---


def test_the_preset_is_the_example_and_loads() -> None:
    file = ROOT / "examples" / "my_preset.yaml"
    assert blocks("yaml")[0] == file.read_text(encoding="utf-8")
    model = presets.load_file(file).model
    assert model in separator.available()


def test_the_preset_that_builds_on_another_is_understood(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(block_with("extends:"), encoding="utf-8")
    found = presets.load_file(file, variables={"guide": -20})
    outputs = found.outputs(("vocals", "accompaniment"))
    assert list(outputs) == ["karaoke", "vocal up", "master"]
    assert outputs["karaoke"]["vocals"] == pytest.approx(0.1)


def test_the_separation_of_a_preset_is_understood(tmp_path: Path) -> None:
    file = tmp_path / "fine.yaml"
    file.write_text(f"schema: 1\nsummary: finer\n{block_with('separation:')}", encoding="utf-8")
    told = presets.load_file(file).separation
    assert (told.shifts, told.overlap, told.transition_power) == (2, 0.5, 2.0)
    assert (
        set(yaml.safe_load(block_with("separation:"))["separation"])
        <= type(told).model_fields.keys()
    )


def test_the_plugin_of_a_preset_is_understood(tmp_path: Path) -> None:
    require.vst3("ZamComp")
    file = tmp_path / "plugin.yaml"
    file.write_text(f"schema: 1\nsummary: mine\n{block_with('vst3:')}", encoding="utf-8")
    inspection.check(presets.load_file(file))


def test_the_settings_file_is_understood(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(block_with("rescan_s:"), encoding="utf-8")
    resolved = resolve(environment={"STEMBRIDGE_CONFIG": str(file)})
    assert "file" in resolved.origins.values()
    assert presets.load(resolved.settings.preset)


def test_the_settings_table_is_complete() -> None:
    rows = table("setting", "in the environment")
    defaults = default_settings()
    assert [row[0] for row in rows] == [f"`{name}`" for name in Settings.model_fields]
    for (name, field), row in zip(Settings.model_fields.items(), rows, strict=True):
        assert row[1] == f"`STEMBRIDGE_{name.upper()}`"
        assert row[3] == field.description
        value = getattr(defaults, name)
        if isinstance(value, Path):
            shown = "of the system"
        elif isinstance(value, tuple):
            shown = "none"
        elif isinstance(value, float):
            shown = f"`{value:g}`"
        else:
            shown = f"`{DEFAULT_MODEL if value is None else value!s}`"
        assert row[2] == (shown.lower() if isinstance(value, bool) else shown)


def test_the_session_files_are_those_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert table("session", "what it is") == [
        [
            f"`{name}`",
            form.summary,
            f"`{form.place(Path(), 'Mix 3')}`",
            (form.missing() or "").removeprefix("needs "),
        ]
        for name, form in FORMATS.items()
    ]


def test_the_session_files_of_a_preset_are_understood(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"schema: 2\nsummary: x\n{block_with('session:')}", encoding="utf-8")
    assert presets.load_file(file).session == ("reaper", "dawproject")


def test_the_presets_are_the_shipped_ones() -> None:
    shipped = presets.available([ROOT / "presets"])
    assert table("preset", "what it gives") == [[f"`{p.name}`", p.summary] for p in shipped]
    assert f"`{default_settings().preset}` is the default." in PROSE


def size(size_bytes: int) -> str:
    megabytes = size_bytes / 1e6
    return f"{megabytes / 1e3:.1f} GB" if megabytes >= 1e3 else f"{megabytes:.0f} MB"


def test_the_models_are_those_of_the_catalog() -> None:
    assert table("model", "stems") == [
        [
            f"`{entry.name}`",
            ", ".join(entry.stems),
            size(entry.size_bytes),
            entry.licence.name,
            entry.speed,
            entry.note,
        ]
        for entry in catalog.models()
    ]
    assert f"`{DEFAULT_MODEL}` is the default." in PROSE


def test_the_effects_table_is_made_from_the_code() -> None:
    assert effects.table_markdown() in README


def test_the_effects_table_has_every_parameter() -> None:
    text = effects.table_markdown()
    assert [row[0] for row in map(cells, text.splitlines()[2:]) if row[0]] == [
        f"`{name}`" for name in effects.EFFECTS
    ]
    for effect in effects.EFFECTS.values():
        for parameter in effects.parameters(effect):  # of an Audio Unit: as of a VST3
            assert f"| `{parameter.name}` " in text
    assert len({len(line) for line in text.splitlines()}) == 1


def test_preset_mistakes_are_shown_as_they_are_told(tmp_path: Path) -> None:
    shown = [line for text in blocks("text") for line in text.splitlines() if "p.yaml" in line]
    file = tmp_path / "p.yaml"
    file.write_text("schema: 1\nsummary: x\nchain:\n  - highpass: {cutoff: 80}\n  - compresor\n")
    with pytest.raises(PresetError) as caught:
        presets.load_file(file)
    assert shown == [problem.replace(str(file), "p.yaml") for problem in caught.value.problems]


# --- what it prints ---


def never_closed(path: Path) -> None:
    """A render that runs: the header still says that there is no audio."""
    audio = bytes(FRAMES * 6)
    data = chunk(b"data", audio, size=0)
    path.write_bytes(riff(fmt(RATE_HZ, 2, 24), data, size=36))


def write(path: Path, wave: np.ndarray, rate_hz: int = RATE_HZ, subtype: str = "PCM_24") -> None:
    soundfile.write(path, wave, rate_hz, subtype=subtype)


def with_nan(path: Path) -> None:
    wave = noise()
    wave[48_000, 0] = np.nan
    write(path, wave, subtype="FLOAT")


def cut_off(path: Path) -> None:
    write(path, noise())
    path.write_bytes(path.read_bytes()[:200_000])


def too_many_channels(path: Path) -> None:
    path.write_bytes(riff(fmt(RATE_HZ, 1000), chunk(b"data", bytes(2000 * 2400))))


BAD_BOUNCES: dict[str, Callable[[Path], object]] = {
    "0 bytes": lambda path: path.write_bytes(b""),
    "text renamed to .wav": lambda path: path.write_text("these are the lyrics\n"),
    "a header and nothing else": lambda path: write(path, noise(0)),
    "cut off": cut_off,
    "never closed": never_closed,
    "NaN in a float file": with_nan,
    "1,000 channels": too_many_channels,
    "384 kHz": lambda path: write(path, noise(), rate_hz=384_000),
}


@pytest.mark.parametrize(("what", "message"), table("the bounce", "what it says"))
def test_bad_bounces_are_told_of_in_these_words(tmp_path: Path, what: str, message: str) -> None:
    path = tmp_path / "bounce.wav"
    BAD_BOUNCES[what](path)
    with pytest.raises(BounceError) as caught:
        survey(Decoder(path, probe(path)))
    assert str(caught.value) == message


def test_every_bad_bounce_is_in_the_table() -> None:
    assert [row[0] for row in table("the bounce")] == list(BAD_BOUNCES)


def shape(data: Any) -> Any:
    """Keys and types; of a list its first item."""
    if isinstance(data, dict):
        return {key: shape(value) for key, value in data.items()}
    if isinstance(data, list):
        return [shape(item) for item in data[:1]]
    return type(data)


def test_the_manifest_has_these_keys(tmp_path: Path, worker: Worker) -> None:
    source = tmp_path / "bounce.wav"
    loud = np.clip(4 * noise(), -1, 1)  # so that there is a gain, and a float in its place
    write(source, loud)
    bext = struct.pack("<256s32s32s10s8sQH254s", b"", b"", b"", b"", b"", 172_800_000, 1, b"")
    source.write_bytes(with_chunk(source.read_bytes(), chunk(b"bext", bext)))
    engine = Engine(default_settings(), presets.load("stems"), str(TINY_MODEL), worker)
    _, path = engine.convert(source, tmp_path / "out" / "bounce", tmp_path / "out", lambda *_: None)
    (shown,) = map(json.loads, blocks("json"))
    assert shape(shown) == shape(json.loads(path.read_text(encoding="utf-8")))


def with_chunk(wave: bytes, added: bytes) -> bytes:
    """A RIFF file with one more chunk at its end."""
    return riff(wave[12:], added)


def test_the_demo_checks_these_promises() -> None:
    source = (ROOT / "bridge" / "demo.py").read_text(encoding="utf-8")
    shown = re.findall(r"^ ok   (.+?)  ", README, re.MULTILINE)
    assert shown == re.findall(r'Promise\("([^"]+)"', source)


# --- links and versions ---


@functools.cache
def links() -> list[str]:
    files = (ROOT / "README.md", ROOT / "CHANGELOG.md")
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    return re.findall(r"\]\(([^)#]+)\)", text)


def test_every_relative_link_leads_somewhere() -> None:
    relative = [link for link in links() if "://" not in link]
    assert len(relative) > 8
    assert [link for link in relative if not (ROOT / link).exists()] == []


def test_every_example_is_linked() -> None:
    files = {f"examples/{file.name}" for file in (ROOT / "examples").iterdir() if file.is_file()}
    assert files <= set(links())


def test_the_torch_to_install_is_the_pinned_one() -> None:
    pinned = re.findall(r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert re.findall(r"torch==([\d.]+)\b", README) == pinned
