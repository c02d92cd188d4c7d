"""Networks on cross-faded segments: the stream against the same arithmetic on whole arrays."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from separator.errors import BadCheckpoint, InputError
from separator.models.bag import Bag, BagMember
from separator.models.base import WaveformModel
from separator.options import Options
from separator.separator import Separator

RATE_HZ = 8_000


class Net(WaveformModel):
    """A small convolution whose output depends on where in its input a frame lies."""

    sources = ("drums", "bass", "vocals")
    rate_hz = RATE_HZ
    channels = 2

    def __init__(self, seed: int, segment_s: float = 0.31, step: int = 97, *, fixed: bool = False):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.kernel = nn.Parameter(torch.randn(6, 2, 41, generator=generator) / 10)
        self.segment_s = segment_s
        self.step = step
        self.fixed_segment = fixed
        self.calls = 0

    def valid_frames(self, frames: int) -> int:
        return -(-frames // self.step) * self.step

    def forward(self, mixture: Tensor) -> Tensor:
        self.calls += 1
        wave = nn.functional.conv1d(mixture, self.kernel, padding=20).tanh()
        wave = wave * torch.linspace(0.5, 1.5, mixture.shape[-1])
        return wave.view(len(mixture), 3, 2, -1)


class Shrinking(Net):
    """Puts out less than it takes in, as the first Demucs does."""

    def valid_frames(self, frames: int) -> int:
        return super().valid_frames(frames + 9)

    def forward(self, mixture: Tensor) -> Tensor:
        return super().forward(mixture)[..., 3:-3]


def music(frames: int = 20_000) -> np.ndarray:
    rng = np.random.default_rng(frames)
    return (0.3 * rng.standard_normal((2, frames)) + 0.05).astype(np.float32)


@torch.no_grad()
def whole(net: Net, mixture: np.ndarray, options: Options) -> np.ndarray:
    """The stems (3, 2, frames), computed with everything in memory."""
    mono = mixture.mean(axis=0)
    mean, spread = mono.mean(), mono.std(ddof=1) + 1e-8
    normal = (mixture - mean) / spread
    length = int((options.segment_s or net.segment_s) * RATE_HZ)
    hop = int((1 - (0.25 if options.overlap is None else options.overlap)) * length)
    ramp = np.minimum(np.arange(length) + 1, length - np.arange(length)).astype(float)
    ramp = (ramp / ramp.max()) ** options.transition_power
    runs = []
    for lead in options.shift_frames(RATE_HZ):
        late = np.pad(normal, ((0, 0), (lead, 0)))
        total, weight = np.zeros((3, 2, late.shape[1])), np.zeros(late.shape[1])
        for start in range(0, late.shape[1], hop):
            frames = min(length, late.shape[1] - start)
            wanted = net.valid_frames(frames)
            before = (wanted - frames) // 2
            padded = np.pad(late, ((0, 0), (wanted, wanted)))
            first = start - before + wanted
            segment = padded[:, first : first + wanted]
            stems = net(torch.from_numpy(segment[None].astype(np.float32)))[0].numpy()
            middle = (stems.shape[-1] - frames) // 2
            total[..., start : start + frames] += (
                ramp[:frames] * stems[..., middle : middle + frames]
            )
            weight[start : start + frames] += ramp[:frames]
        runs.append((total / weight)[..., lead:])
    return np.mean(runs, axis=0) * spread + mean


def streamed(model: Net | Bag, mixture: np.ndarray, options: Options) -> dict[str, np.ndarray]:
    separator = Separator(model, "net", torch.device("cpu"), options)
    return separator.separate(mixture, RATE_HZ)


OFF = Options(residual="off")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"overlap": 0.0},
        {"overlap": 0.5, "transition_power": 3.0},
        {"overlap": 0.9},
        {"segment_s": 0.1},
        {"shifts": 1},
        {"shifts": 3, "seed": 5},
    ],
)
@pytest.mark.parametrize("frames", [300, 2_480, 20_000])
def test_a_stream_equals_the_whole(changes: dict[str, float], frames: int) -> None:
    options = dataclasses.replace(OFF, **changes)
    expected = whole(Net(1), music(frames), options)
    stems = streamed(Net(1), music(frames), options)
    assert list(stems) == list(Net.sources)
    np.testing.assert_allclose(np.stack(list(stems.values())), expected, atol=2e-6)


def test_a_network_that_puts_out_less_than_it_takes_in() -> None:
    stems = streamed(Shrinking(1), music(), OFF)
    expected = whole(Shrinking(1), music(), OFF)
    np.testing.assert_allclose(np.stack(list(stems.values())), expected, atol=2e-6)


def test_a_bag_is_the_weighted_mean_of_its_members() -> None:
    first, second = Net(1), Net(2, segment_s=0.2, step=1)
    weights = np.array([[1.0, 0.0, 0.5], [0.0, 3.0, 0.25]])
    bag = Bag([BagMember(first, tuple(weights[0])), BagMember(second, tuple(weights[1]))])
    members = np.stack([whole(net, music(), OFF) for net in (first, second)])
    share = (weights / weights.sum(axis=0))[..., None, None]
    stems = streamed(bag, music(), OFF)
    np.testing.assert_allclose(
        np.stack(list(stems.values())), (share * members).sum(axis=0), atol=2e-6
    )
    with torch.no_grad():
        short = torch.from_numpy(music(500)[None])
        expected = sum(
            torch.tensor(w, dtype=torch.float32)[:, None, None] * net(short)
            for w, net in zip(share[..., 0, 0], (first, second), strict=True)
        )
        torch.testing.assert_close(bag(short), expected)


def test_only_the_members_that_a_stem_needs_run() -> None:
    nets = [Net(seed) for seed in range(3)]
    bag = Bag(
        [BagMember(net, tuple(map(float, row))) for net, row in zip(nets, np.eye(3), strict=True)]
    )
    stems = streamed(bag, music(), Options(residual="off", stems=("vocals",)))
    assert list(stems) == ["vocals"]
    assert [net.calls > 0 for net in nets] == [False, False, True]
    np.testing.assert_allclose(stems["vocals"], whole(Net(2), music(), OFF)[2], atol=2e-6)


def test_two_stems_by_subtraction_need_one_and_add_up() -> None:
    nets = [Net(seed) for seed in range(3)]
    bag = Bag(
        [BagMember(net, tuple(map(float, row))) for net, row in zip(nets, np.eye(3), strict=True)]
    )
    stems = streamed(bag, music(), Options(two_stems="bass"))
    assert list(stems) == ["bass", "no_bass"]
    assert [net.calls > 0 for net in nets] == [False, True, False]
    np.testing.assert_allclose(stems["bass"] + stems["no_bass"], music(), atol=1e-6)


@pytest.mark.parametrize("residual", ["stem", "add-to-last", "off"])
def test_two_stems_by_addition(residual: str) -> None:
    each = whole(Net(1), music(), OFF)
    options = Options(residual=residual, two_stems="bass", other_method="add")  # type: ignore[arg-type]
    stems = streamed(Net(1), music(), options)
    np.testing.assert_allclose(stems["bass"], each[1], atol=2e-6)
    if residual == "add-to-last":
        np.testing.assert_allclose(stems["bass"] + stems["no_bass"], music(), atol=1e-6)
    else:
        np.testing.assert_allclose(stems["no_bass"], each[0] + each[2], atol=2e-6)
        assert ("residual" in stems) == (residual == "stem")
    if residual == "stem":
        np.testing.assert_allclose(sum(stems.values()), music(), atol=1e-6)


def test_the_mixture_is_read_twice_for_its_level() -> None:
    separator = Separator(Net(1), "net", torch.device("cpu"))
    assert separator.two_passes
    with pytest.raises(InputError, match="reads the mixture twice"):
        next(separator.stream(iter([music()]), RATE_HZ))
    silence = np.zeros((2, 5_000), np.float32)
    assert all(np.isfinite(stem).all() for stem in separator.separate(silence, RATE_HZ).values())


def test_seeds_move_the_shifts_and_nothing_else_is_random() -> None:
    one, other = (streamed(Net(1), music(), Options(shifts=2, seed=seed)) for seed in (0, 1))
    again = streamed(Net(1), music(), Options(shifts=2))
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert not np.allclose(one["drums"], other["drums"], atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overlap": 1.0}, "overlap is a number from 0 to 0.99, not 1.0"),
        ({"segment_s": 0}, "segment_s is a number from 0.1 to 600, not 0"),
        ({"segment_s": float("nan")}, "segment_s"),
        ({"shifts": -1}, "shifts is a number from 0 to 100, not -1"),
        ({"transition_power": 0.5}, "transition_power is a number from 1 to 100"),
        ({"residual": "maybe"}, "residual is one of stem, add-to-last, off, not 'maybe'"),
        ({"other_method": "none"}, "other_method is one of minus, add, not 'none'"),
        ({"stems": ()}, "name at least one"),
        ({"stems": ("bass",), "two_stems": "bass"}, "give only one of them"),
        ({"stems": ("kazoo",)}, "no stem 'kazoo': choose from drums, bass, vocals, residual"),
        ({"two_stems": "kazoo"}, "no stem 'kazoo': choose from drums, bass, vocals"),
    ],
)
def test_impossible_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Separator(Net(1), "net", torch.device("cpu"), Options(**options))  # type: ignore[arg-type]


def test_a_fixed_segment_cannot_grow() -> None:
    with pytest.raises(InputError, match=r"segment_s is at most 0.31 for this model"):
        streamed(Net(1, fixed=True), music(), Options(segment_s=1.0))
    shorter = streamed(Net(1, fixed=True), music(), Options(segment_s=0.2))
    assert shorter["drums"].shape == (2, 20_000)


def test_bags_of_strangers_are_refused() -> None:
    other = Net(2)
    other.sources = ("drums", "bass", "piano")
    with pytest.raises(BadCheckpoint, match="same stems"):
        Bag([BagMember(Net(1), (1.0,) * 3), BagMember(other, (1.0,) * 3)])
    with pytest.raises(BadCheckpoint, match="one weight for each stem"):
        Bag([BagMember(Net(1), (1.0,) * 2)])
    specialist = Bag([BagMember(Net(1), (1.0, 0.0, 0.0))])
    with pytest.raises(InputError, match="that make 'bass' were not loaded"):
        streamed(specialist, music(), OFF)
