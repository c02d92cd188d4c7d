"""Jobs by OSC with a real port and ledger, checked with another OSC implementation."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import build_msg
from pythonosc.osc_packet import OscPacket

from bridge import __version__
from bridge.config import resolve
from bridge.errors import LedgerBlocked, UsageError
from bridge.ledger.states import State
from bridge.ledger.store import Ledger
from bridge.osc.control import Control, osc_control
from bridge.service.events import CompositeListener
from bridge.system.endpoint import parse
from tests.bounces import render, silence, wav_bytes
from tests.support import require
from tests.waiting import PATIENCE_S, wait_until
from tests.watch_service import Serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.watch_service import Child, Studio

LATER = time.time() + 1e8
GARBAGE = {
    "nothing": b"",
    "zeros": bytes(100),
    "no end of the address": b"/stembridge/split",
    "no such type": b"/x\0\0,qqq\0\0\0\0",
    "no argument where one is told": b"/stembridge/split\0\0\0,s\0\0",
    "not UTF-8": b"/stembridge/split\0\0\0,s\0\0\xff\xfe\xfd\0",
    "brackets": b"/a\0\0," + b"[" * 20_000 + b"\0" * 4,
    "a bundle of nothing": b"#bundle\0",
    "a bundle with a wrong length": b"#bundle\0" + bytes(8) + b"\xff" * 40,
    "text": b"GET / HTTP/1.1\r\n\r\n",
}


class Client:
    """A program with a UDP port, on this computer."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(PATIENCE_S)
        self.to: tuple[str, int] = ("127.0.0.1", 0)

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def send(self, address: str, *arguments: object) -> None:
        self.raw(build_msg(address, list(arguments)).dgram)

    def raw(self, data: bytes) -> None:
        self.socket.sendto(data, self.to)

    def hear(self) -> tuple[str, list[Any]]:
        """The next message, by its last word, and its arguments."""
        message = OscPacket(self.socket.recv(65_535)).messages[0].message
        return message.address.removeprefix("/stembridge/"), message.params

    def hear_to(self, *words: str) -> list[tuple[str, list[Any]]]:
        """Everything up to one of these."""
        heard = [self.hear()]
        while heard[-1][0] not in words:
            heard.append(self.hear())
        return heard

    def silent(self) -> bool:
        """Whether nothing has come, when an answer to something else has."""
        self.send("/stembridge/ping")
        return self.hear()[0] == "pong"


@pytest.fixture
def client() -> Iterator[Client]:
    made = Client()
    yield made
    made.socket.close()


@pytest.fixture
def connect(
    studio: Studio, client: Client, serve: Callable[..., Serving]
) -> Iterator[Callable[..., Control]]:
    """Starts a service of this process with an OSC port that the client talks to."""
    controls: list[tuple[Control, Any]] = []
    heard = studio.heard

    def connected(*, reply: str | None = None, work: bool = True) -> Control:
        control = Control(parse("0"), parse(reply) if reply else None)
        studio.heard = CompositeListener(heard, control)  # type: ignore[assignment]
        service = serve().watch if work else studio.watch()
        studio.heard = heard
        client.to = ("127.0.0.1", control.endpoint.port)
        hearing = control.serving(service)
        hearing.__enter__()
        controls.append((control, hearing))
        return control

    yield connected
    for control, hearing in controls:
        hearing.__exit__(None, None, None)
        control.close()


def states(studio: Studio) -> list[State]:
    return [job.state for job in studio.jobs()]


def test_a_submitted_file_is_converted_and_its_client_gets_all_messages(
    studio: Studio, connect: Callable[..., Control], client: Client
) -> None:
    connect()
    bounce = render(studio.root / "desk" / "Mix 3.wav")
    client.send("/stembridge/split", str(bounce), "karaoke")
    (queued, *progress, done) = client.hear_to("done", "failed")
    assert queued == ("queued", [str(bounce)])
    manifest = studio.stems / "Mix 3" / "manifest.json"
    assert done == ("done", [str(manifest), str(bounce)])
    assert manifest.exists()
    assert [stem["name"] for stem in studio.manifest("Mix 3")["stems"]] == ["karaoke"]
    assert {word for word, _ in progress} == {"progress"}
    shares: dict[str, list[float]] = {}
    for _, (path, stage, share) in progress:
        assert path == str(bounce)
        shares.setdefault(stage, []).append(share)
    assert [*shares] == ["survey", "separate", "chain", "encode", "verify", "publish"]
    assert all(
        share == sorted(share) and 0 <= share[0] <= share[-1] <= 1 for share in shares.values()
    )
    (job,) = studio.jobs()
    assert (job.state, job.asked, job.recipe.preset_name) == (State.DONE, "karaoke", "karaoke")


def test_a_job_is_in_the_ledger_before_it_is_acknowledged_and_outlives_the_service(
    studio: Studio, connect: Callable[..., Control], client: Client
) -> None:
    connect(work=False)  # nobody does it meanwhile
    bounce = render(studio.folder / "Mix 3.wav")
    client.send("/stembridge/split", str(bounce), "acapella")
    assert client.hear() == ("queued", [str(bounce)])
    (job,) = studio.jobs()
    assert (job.state, job.source_path.name, job.asked) == (State.PENDING, "Mix 3.wav", "acapella")
    tally = studio.once()  # another service, some time later, that knows nothing of OSC
    assert (tally.done, tally.failed) == (1, 0)
    assert [stem["name"] for stem in studio.manifest("Mix 3")["stems"]] == ["vocals"]
    assert studio.once().done == 0  # and no third one makes the usual stems of it
    assert states(studio) == [State.DONE]


def test_a_new_render_gets_the_usual_preset_again(studio: Studio) -> None:
    bounce = render(studio.folder / "Mix 3.wav")
    studio.watch().submit(bounce, "karaoke")
    studio.once()
    render(bounce, seed=1)
    assert studio.once().done == 1
    names = [stem["name"] for stem in studio.manifest("Mix 3")["stems"]]
    assert names == ["vocals", "accompaniment"]


def test_asking_twice_does_it_once_and_answers_at_once(
    studio: Studio, connect: Callable[..., Control], client: Client
) -> None:
    connect()
    bounce = render(studio.root / "Mix 3.wav")
    client.send("/stembridge/split", str(bounce))
    first = client.hear_to("done")[-1]
    client.send("/stembridge/split", str(bounce))
    assert client.hear() == first
    assert states(studio) == [State.DONE]
    (studio.stems / "Mix 3" / "manifest.json").unlink()  # who asks wants stems, though
    client.send("/stembridge/split", str(bounce))
    assert client.hear_to("done", "failed")[-1] == first
    assert studio.published() == ["Mix 3"]
    assert states(studio) == [State.DONE]


def test_a_skipped_silent_file_is_reported_as_failed(
    studio: Studio, connect: Callable[..., Control], client: Client
) -> None:
    preset = studio.root / "skipping.yaml"
    preset.write_text("schema: 1\nsummary: x\nbounce: {skip_silent: true}\n")
    studio.preset = str(preset)
    connect()
    bounce = studio.root / "silence.wav"
    bounce.write_bytes(wav_bytes(silence()))
    for _ in range(2):
        client.send("/stembridge/split", str(bounce))
        word, (path, reason) = client.hear_to("done", "failed")[-1]
        assert (word, path) == ("failed", str(bounce))
        assert reason.startswith("skipped: silent, ")
    assert states(studio) == [State.DONE]


def test_another_preset_is_another_job(
    studio: Studio, connect: Callable[..., Control], client: Client
) -> None:
    connect()
    bounce = render(studio.root / "Mix 3.wav", frames=30_000)
    for preset in ("karaoke", "acapella"):
        client.send("/stembridge/split", str(bounce), preset)
    client.hear_to("done")
    if states(studio)[-1] is not State.DONE:  # the first was running when the second was asked for
        client.hear_to("done")
    assert [stem["name"] for stem in studio.manifest("Mix 3")["stems"]] == ["vocals"]


def test_two_files_of_one_name_and_a_bounce_get_folders_of_their_own(studio: Studio) -> None:
    render(studio.folder / "Mix.wav")
    studio.once()
    for number in (1, 2):
        studio.watch().submit(render(studio.root / str(number) / "Mix.wav", seed=number))
    assert studio.once().done == 2
    assert studio.published() == ["Mix", "Mix (wav 2)", "Mix (wav)"]
    studio.check_complete()


def test_all_spellings_of_a_path_are_one_bounce(studio: Studio) -> None:
    bounce = render(studio.folder / "a" / "Mix.wav")
    (studio.root / "way").symlink_to(studio.folder)
    service = studio.watch()
    ways = (bounce, bounce.relative_to(studio.folder), studio.root / "way" / "a" / "Mix.wav")
    ways += (studio.folder / "a" / ".." / "a" / "Mix.wav",)
    assert {service.submit(way).id for way in ways} == {1}
    assert studio.once().done == 1
    assert studio.published() == ["a/Mix"]


@pytest.mark.parametrize(
    ("path", "preset", "reason"),
    [
        ("none.wav", None, "No such file"),
        ("", None, "takes the path of a file"),
        (".", None, "not a regular file"),
        ("link.wav", None, "not a regular file"),
        ("Mix.wav", "karaok", "did you mean 'karaoke'?"),
        ("Mix.wav", "./own.yaml", "by its name"),
        ("x" * 5000, None, "File name too long"),
        ("x/" * 3000, None, "File name too long"),
        ("loop/Mix.wav", None, "Too many levels of symbolic links"),
    ],
)
def test_invalid_requests_create_no_job(
    studio: Studio,
    connect: Callable[..., Control],
    client: Client,
    path: str,
    preset: str | None,
    reason: str,
) -> None:
    connect(work=False)
    render(studio.folder / "Mix.wav")
    (studio.folder / "link.wav").symlink_to(studio.folder / "Mix.wav")
    (studio.folder / "loop").symlink_to(studio.folder / "loop")
    (studio.folder / "own.yaml").write_text("schema: 2\nextends: karaoke\n")
    client.send("/stembridge/split", path, *([preset] if preset else []))
    word, (named, told) = client.hear()
    assert (word, named) == ("failed", path.rstrip("/"))
    assert reason in told
    assert studio.jobs() == []


def test_a_failed_bounce_reports_its_reason_and_can_be_resubmitted(
    studio: Studio, connect: Callable[..., Control], client: Client
) -> None:
    connect()
    bounce = studio.root / "notes.wav"
    bounce.write_text("Dear band,\n" * 50)
    for _ in range(2):
        client.send("/stembridge/split", str(bounce))
        word, (path, reason) = client.hear_to("failed", "done")[-1]
        assert (word, path) == ("failed", str(bounce))
        assert "not audio" in reason
    assert states(studio) == [State.FAILED]


def test_a_removed_file_fails_and_a_removed_bounce_waits(
    studio: Studio, connect: Callable[..., Control], client: Client
) -> None:
    control = connect(work=False)
    words = []
    for folder in (studio.root, studio.folder):  # in the folder, a new render is a new job
        bounce = render(folder / "Mix.wav")
        client.send("/stembridge/split", str(bounce))
        assert client.hear()[0] == "queued"
        bounce.unlink()
        control.released(studio.jobs()[-1], "it is gone")
        word, arguments = client.hear()
        assert arguments == [str(bounce), "it is gone"]
        words.append(word)
    assert words == ["failed", "waiting"]


def test_the_ledger_refuses_and_so_does_the_answer(
    studio: Studio,
    connect: Callable[..., Control],
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect(work=False)
    bounce = render(studio.folder / "Mix.wav")

    def blocked(*_: object, **__: object) -> None:
        raise LedgerBlocked("the disk is full")

    monkeypatch.setattr(Ledger, "submit", blocked)
    monkeypatch.setattr(Ledger, "counts", blocked)
    client.send("/stembridge/split", str(bounce))
    assert client.hear() == ("failed", [str(bounce), "the disk is full"])
    client.send("/stembridge/status")
    assert client.hear() == ("failed", ["", "the disk is full"])


def test_a_mistake_of_ours_does_not_end_the_listening(
    studio: Studio,
    connect: Callable[..., Control],
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect(work=False)
    monkeypatch.setattr(Ledger, "submit", lambda *_, **__: 1 / 0)
    client.send("/stembridge/split", str(render(studio.folder / "Mix.wav")))
    word, (_, reason) = client.hear()
    assert word == "failed"
    assert reason.startswith("internal error: ZeroDivisionError")
    client.send("/stembridge/ping")
    assert client.hear()[0] == "pong"


def test_status_and_ping(studio: Studio, connect: Callable[..., Control], client: Client) -> None:
    connect(work=False)
    client.send("/stembridge/ping", 1.0)
    assert client.hear() == ("pong", [__version__, str(studio.folder)])
    client.send("/stembridge/split", str(render(studio.folder / "Mix.wav")))
    client.hear()
    client.send("/stembridge/status")
    assert client.hear() == ("standing", [1, 0, 0, 0, ""])


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
def test_garbage_does_no_harm_and_gets_no_answer(
    studio: Studio,
    connect: Callable[..., Control],
    client: Client,
    capfd: pytest.CaptureFixture[str],
    data: bytes,
) -> None:
    connect(work=False)
    for _ in range(5):
        client.raw(data)
    assert client.silent()
    assert capfd.readouterr() == ("", "")
    assert studio.jobs() == []


def test_a_storm_of_random_packets_does_no_harm(
    studio: Studio, connect: Callable[..., Control], client: Client
) -> None:
    connect(work=False)
    begin = build_msg("/stembridge/split", ["x" * 40]).dgram
    for number in range(500):
        client.raw(os.urandom(number) if number % 2 else begin[: number % 60] + os.urandom(20))
        if number % 20 == 0:  # the system drops what nobody has taken yet
            client.send("/stembridge/ping")
            assert client.hear_to("pong")
    client.raw(b"#bundle\0" * 3000)
    client.send("/stembridge/ping")
    assert client.hear_to("pong")


def test_a_bundle_for_years_from_now_is_done_now(
    studio: Studio, connect: Callable[..., Control], client: Client
) -> None:
    connect(work=False)
    bounce = render(studio.folder / "Mix.wav")
    for when in (LATER, IMMEDIATELY):
        bundle = OscBundleBuilder(when)
        bundle.add_content(build_msg("/stembridge/split", [str(bounce)]))
        bundle.add_content(build_msg("/stembridge/ping", []))
        client.raw(bundle.build().dgram)
        assert {client.hear()[0], client.hear()[0]} == {"queued", "pong"}


def test_the_reply_port_gets_every_bounce(
    studio: Studio, connect: Callable[..., Control], client: Client
) -> None:
    surface = Client()
    connect(reply=str(surface.port))
    bounce = render(studio.folder / "Mix.wav")  # nobody asks for it
    heard = surface.hear_to("done")
    assert heard[-1] == ("done", [str(studio.stems / "Mix" / "manifest.json"), str(bounce)])
    client.send("/stembridge/ping")
    assert surface.hear()[0] == "pong"
    client.socket.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.hear()
    surface.socket.close()


def test_only_the_client_gets_messages(
    studio: Studio, connect: Callable[..., Control], client: Client
) -> None:
    connect()
    other = Client()
    other.to = client.to
    render(studio.folder / "dropped.wav")
    wait_until(lambda: states(studio) == [State.DONE], "the dropped one")
    bounce = render(studio.root / "asked.wav")
    client.send("/stembridge/split", str(bounce))
    assert {path for _, (*_, path) in client.hear_to("done") if "/" in str(path)} == {str(bounce)}
    assert other.silent()
    other.socket.close()


def test_a_port_in_use_is_an_error(connect: Callable[..., Control]) -> None:
    control = connect(work=False)
    taken = str(control.endpoint)
    with pytest.raises(UsageError, match=rf"cannot listen for OSC on {taken} .*another port"):
        Control(parse(taken))
    with pytest.raises(UsageError, match="unknown host"):
        Control(parse("no.such.host.invalid:9000"))


def test_off_opens_nothing_and_other_hosts_are_warned_of() -> None:
    nowhere = {"STEMBRIDGE_CONFIG": "/no such file.yaml"}
    with osc_control(resolve({}, nowhere).settings) as control:
        assert control is None
    with osc_control(resolve({"osc": "0"}, nowhere).settings) as control:
        assert control
        assert control.warnings == []
    open_ = {"osc": "0.0.0.0:0", "osc_reply": "192.0.2.1:9"}  # RFC 5737: nobody's address
    with osc_control(resolve(open_, nowhere).settings) as control:
        assert control
        assert len(control.warnings) == 2
        assert "anyone who can reach 0.0.0.0:" in control.warnings[0]


def test_the_command_listens_and_another_implementation_is_understood(
    studio: Studio, start: Callable[..., Child], client: Client
) -> None:
    """`oscsend` and its like are built on liblo."""
    oscsend = require.program("oscsend", "liblo-tools")
    child = start("--osc", "0", "--preset", "acapella").ready()
    child.wait_for(lambda: "listening for OSC on 127.0.0.1:" in child.log, "its OSC port")
    port = child.log.split("listening for OSC on 127.0.0.1:")[1].split()[0]
    bounce = render(studio.root / "Aussen" / "Mix é.wav")
    told = ("/stembridge/split", "ss", str(bounce), "karaoke")
    subprocess.run([oscsend, "127.0.0.1", port, *told], check=True)
    child.wait_for(lambda: states(studio) == [State.DONE], "the stems")
    assert [stem["name"] for stem in studio.manifest("Mix é")["stems"]] == ["karaoke"]
    client.to = ("127.0.0.1", int(port))
    client.send("/stembridge/status")
    assert client.hear() == ("standing", [0, 0, 1, 0, ""])
    assert child.end() == 130
    assert "careful" not in child.log


def test_access_by_other_hosts_is_a_warning(start: Callable[..., Child]) -> None:
    child = start("--osc", "0.0.0.0:0", "--once")
    assert child.process.wait(PATIENCE_S) == 0
    assert "careful: anyone who can reach 0.0.0.0:" in child.log


def test_an_invalid_port_is_reported_at_the_start(start: Callable[..., Child]) -> None:
    child = start("--osc", "nine", "--once")
    assert child.process.wait(PATIENCE_S) == 2
    (line,) = child.log.splitlines()
    assert line.startswith("stembridge: --osc: ")
    assert "expected PORT, HOST:PORT or [IPV6]:PORT, as in 9000" in line
