"""Discovery of plugin files in permitted folders, without loading them."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from bridge.effects.registry import Builtin, Vst3
from bridge.errors import PresetError
from bridge.plugins import discovery
from bridge.plugins.discovery import (
    AUDIO_UNIT,
    VST3,
    PluginFolders,
    find_plugin,
    installed,
    standard_folders,
)
from bridge.presets import loader

HEAD = "schema: 1\nsummary: a test\n"


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PluginFolders:
    """A system with plugins of one maker, a folder of the settings, and a preset with its own."""
    for name in ("system/Zam/ZamComp", "system/ZamGate", "settings/Deep", "own/Mine", "else/Evil"):
        (tmp_path / f"{name}.vst3" / "Contents").mkdir(parents=True)
    monkeypatch.setattr(discovery, "standard_folders", lambda _: (tmp_path / "system",))
    return PluginFolders(own=tmp_path / "own", settings=(tmp_path / "settings",))


def write(folders: PluginFolders, text: str) -> Path:
    assert folders.own is not None
    path = folders.own / "p.yaml"
    path.write_text(HEAD + text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ZamComp", "system/Zam/ZamComp"),
        ("ZamGate", "system/ZamGate"),
        ("Deep", "settings/Deep"),
        ("Mine", "own/Mine"),
        ("Mine.vst3", "own/Mine"),
        ("./Mine.vst3", "own/Mine"),
        ("Zam/ZamComp.vst3", "system/Zam/ZamComp"),
    ],
)
def test_a_name_or_path_is_found(
    folders: PluginFolders, tmp_path: Path, text: str, found: str
) -> None:
    assert find_plugin(text, VST3, folders) == tmp_path / f"{found}.vst3"


def test_an_absolute_path_inside_a_plugin_folder_is_found(
    folders: PluginFolders, tmp_path: Path
) -> None:
    path = tmp_path / "system" / "ZamGate.vst3"
    assert find_plugin(str(path), VST3, folders) == path


def test_a_missing_plugin_is_reported_with_folders_and_suggestion(folders: PluginFolders) -> None:
    with pytest.raises(PresetError) as caught:
        find_plugin("ZamCmp", VST3, folders)
    text = str(caught.value)
    assert "did you mean 'ZamComp'?" in text
    for folder in ("own", "settings", "system"):
        assert f"/{folder}" in text.replace("\\", "/")
    with pytest.raises(PresetError, match="did you mean 'Mine'"):
        find_plugin("./Mien.vst3", VST3, folders)


@pytest.mark.parametrize(
    "text", ["../else/Evil.vst3", "sub/../../else/Evil.vst3", "..\\else\\Evil.vst3"]
)
def test_a_path_out_of_the_folder_is_refused_with_its_line(
    folders: PluginFolders, text: str
) -> None:
    path = write(folders, f"chain:\n  - gain\n  - vst3:\n      plugin: '{text}'\n")
    with pytest.raises(PresetError) as caught:
        loader.load_file(path)
    assert caught.value.problems == (
        f"{path}:6: '{text}' leads out of its folder; write the path without '..'",
    )


def test_an_absolute_path_elsewhere_is_refused_with_its_line(
    folders: PluginFolders, tmp_path: Path
) -> None:
    evil = tmp_path / "else" / "Evil.vst3"
    path = write(folders, f"chain:\n  - vst3: {{plugin: '{evil}'}}\n")
    with pytest.raises(PresetError, match=r"p\.yaml:4: .*is outside the folders"):
        loader.load_file(path)
    allowed = loader.load_file(path, plugin_folders=[evil.parent])
    assert allowed.chain == (Vst3(plugin=str(evil)),)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_a_link_beside_the_preset_is_judged_by_its_target(
    folders: PluginFolders, tmp_path: Path
) -> None:
    assert folders.own is not None
    (folders.own / "Link.vst3").symlink_to(tmp_path / "else" / "Evil.vst3")
    with pytest.raises(PresetError, match="is outside the folders"):
        find_plugin("./Link.vst3", VST3, folders)


def test_a_state_must_be_in_a_permitted_folder(folders: PluginFolders, tmp_path: Path) -> None:
    assert folders.own is not None
    (folders.own / "warm.vstpreset").write_bytes(b"VST3")
    (tmp_path / "else" / "x.vstpreset").write_bytes(b"VST3")
    item = "chain:\n  - vst3: {{plugin: Mine, state: '{}'}}\n"
    loaded = loader.load_file(write(folders, item.format("warm.vstpreset")))
    assert loaded.chain[0] == Vst3(
        plugin=str(folders.own / "Mine.vst3"), state=str(folders.own / "warm.vstpreset")
    )
    for text, message in (
        ("../else/x.vstpreset", "leads out"),
        (str(tmp_path / "else" / "x.vstpreset"), "is outside the folders"),
        ("cold.vstpreset", "no state file 'cold.vstpreset'"),
    ):
        with pytest.raises(PresetError, match=rf"p\.yaml:4: .*{message}"):
            loader.load_file(write(folders, item.format(text)))


def test_the_hash_follows_the_state_and_the_parameters_not_the_place(
    folders: PluginFolders,
) -> None:
    assert folders.own is not None
    state = folders.own / "s.vstpreset"

    def digest(settings: str, content: bytes = b"one") -> str:
        state.write_bytes(content)
        return loader.load_file(write(folders, f"chain: [vst3: {settings}]\n")).content_hash

    base = digest("{plugin: Mine, state: s.vstpreset}")
    assert digest("{plugin: ./Mine.vst3, state: s.vstpreset, timeout_s: 60}") == base
    changed = {
        digest("{plugin: Mine, state: s.vstpreset}", b"two"),
        digest("{plugin: Mine}"),
        digest("{plugin: ZamGate, state: s.vstpreset}"),
        digest("{plugin: Mine, parameters: {ratio: 2}}"),
        digest("{plugin: Mine, parameters: {ratio: 3}}"),
        digest("{plugin: Mine, latency: reported}"),
    }
    assert len(changed | {base}) == 7


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("{}", "key 'plugin' is missing"),
        ("{plugin: Mine, parameters: [1]}", "write `parameters: {name: value}`"),
        ("{plugin: Mine, parameters: loud}", "write `parameters: {name: value}`"),
        ("{plugin: Mine, parameters: {a: {b: 1}}}", "parameter 'a' must be a number"),
        ("{plugin: Mine, parameters: {a: .nan}}", "parameter 'a' must be a number"),
        ("{plugin: Mine, latency: guessed}", "allowed is measured or reported"),
        ("{plugin: Mine, timeout_s: 0}", "'timeout_s' is 0; allowed is a number, 1 to 600 s"),
        ("{plugin: Mine, parametres: {a: 1}}", "did you mean 'parameters'?"),
    ],
)
def test_errors_are_reported_with_their_line(
    folders: PluginFolders, settings: str, message: str
) -> None:
    with pytest.raises(PresetError) as caught:
        loader.load_file(write(folders, f"chain:\n  - vst3: {settings}\n"))
    (problem,) = caught.value.problems
    assert "p.yaml:4: " in problem
    assert message in problem


@pytest.mark.skipif(sys.platform == "darwin", reason="they do run there")
def test_an_audio_unit_is_for_macos(folders: PluginFolders) -> None:
    path = write(folders, "chain:\n  - audio_unit: {plugin: AUDelay}\n")
    with pytest.raises(PresetError, match=r"p\.yaml:4: .*run on macOS only; use the VST3"):
        loader.load_file(path)


def test_standard_folders_of_every_system() -> None:
    home = {"HOME": "/home/me"}
    assert standard_folders(VST3, "linux", home)[:2] == (
        Path("/home/me/.vst3"),
        Path("/usr/lib/vst3"),
    )
    assert standard_folders(AUDIO_UNIT, "linux", home) == ()
    mac = standard_folders(AUDIO_UNIT, "darwin", home)
    assert mac[1] == Path("/Library/Audio/Plug-Ins/Components")
    windows = standard_folders(VST3, "win32", {"COMMONPROGRAMFILES": "C:/Common", **home})
    assert windows == (Path("C:/Common/VST3"),)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_circular_links_of_folders_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    (tmp_path / "a" / "One.vst3").mkdir()
    assert [each.stem for each in installed(tmp_path, VST3)] == ["One"]


# pedalboard's own by their names


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("{effect: Phasr}", "pedalboard has no effect 'Phasr'; did you mean 'Phaser'?"),
        ("{effect: PitchShift}", "PitchShift cannot be used: it loses frames"),
        ("{effect: VST3Plugin}", "pedalboard has no effect 'VST3Plugin'"),
        ("{effect: Phaser, parameters: {rate: 1}}", "did you mean 'rate_hz'?"),
        ("{effect: Phaser, parameters: {mix: much}}", "allowed is a number"),
        ("{effect: Chorus, parameters: {rate_hz: 500}}", "Chorus refuses its parameters: Rate"),
        ("{effect: LadderFilter, parameters: {mode: LP24}}", "did you mean 'LPF24'?"),
        ("{effect: Convolution}", "Convolution refuses its parameters"),
        (
            "{effect: Convolution, parameters: {impulse_response_filename: ../x.wav}}",
            "leads out of its folder",
        ),
    ],
)
def test_pedalboards_own_are_checked_by_their_signature(
    folders: PluginFolders, settings: str, message: str
) -> None:
    with pytest.raises(PresetError) as caught:
        loader.load_file(write(folders, f"chain:\n  - pedalboard: {settings}\n"))
    (problem,) = caught.value.problems
    assert "p.yaml:4: " in problem
    assert message in problem


def test_a_choice_is_written_as_a_word(folders: PluginFolders) -> None:
    text = "chain: [pedalboard: {effect: LadderFilter, parameters: {mode: HPF12, drive: 2}}]\n"
    (effect,) = loader.load_file(write(folders, text)).chain
    assert isinstance(effect, Builtin)
    assert dict(effect.parameters) == {"mode": "HPF12", "drive": 2.0}


def test_a_fingerprint_depends_on_the_code(tmp_path: Path) -> None:
    bundle = tmp_path / "A.vst3"
    for name in ("x86_64-linux/A.so", "Resources/moduleinfo.json"):
        (bundle / "Contents" / name).parent.mkdir(parents=True)
        (bundle / "Contents" / name).write_bytes(b"one")
    assert discovery.fingerprint(bundle) == hashlib.sha256(b"one").hexdigest()
    (bundle / "Contents" / "Resources" / "moduleinfo.json").write_bytes(b"another")
    assert discovery.fingerprint(bundle) == hashlib.sha256(b"one").hexdigest()
    (bundle / "Contents" / "x86_64-linux" / "A.so").write_bytes(b"update")
    assert discovery.fingerprint(bundle) == hashlib.sha256(b"update").hexdigest()
    file = tmp_path / "B.vst3"  # as on Windows
    file.write_bytes(b"one")
    assert discovery.fingerprint(file) == hashlib.sha256(b"one").hexdigest()
    with pytest.raises(PresetError, match=r"cannot be read .*; check the path in the preset"):
        discovery.fingerprint(tmp_path / "gone.vst3")
