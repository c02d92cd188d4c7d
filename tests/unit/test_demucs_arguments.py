"""Demucs 1 and 2 and Conv-TasNet: which arguments they take, which lengths, and what they refuse.

That the networks compute what the official ones do is in test_golden_demucs.py.
"""

from __future__ import annotations

from typing import Any, TypeVar

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from separator.errors import InputError
from separator.models.base import WaveformModel
from separator.models.conv_tasnet import ConvTasNet, ConvTasNetConfig
from separator.models.demucs import Demucs, DemucsConfig, DemucsV1Config, DemucsV2Config
from tests.hypothesis_profiles import examples

Model = TypeVar("Model", bound=WaveformModel)
STEMS = ["drums", "vocals"]
MUSDB = ("drums", "bass", "other", "vocals")
TINY_TASNET = {"N": 4, "B": 3, "H": 5, "X": 2, "R": 2, "L": 20}


def filled(model: Model) -> Model:
    """Small random weights, the same in every run."""
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        nn.init.uniform_(parameter, -0.4, 0.5, generator=generator)
    return model.eval().requires_grad_(False)


def tiny_tasnet(**more: Any) -> ConvTasNet:
    config = ConvTasNetConfig.from_official({"sources": STEMS, **TINY_TASNET, **more})
    return filled(ConvTasNet(config))


def noise(channels: int, frames: int, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(frames)
    return torch.randn(batch, channels, frames, generator=generator) * 0.1


def test_the_defaults_are_those_of_the_releases() -> None:
    first = DemucsV1Config.from_official({})
    assert first.sources == MUSDB
    assert (first.resample, first.normalize, first.segment_s) == (False, False, 10.0)
    second = DemucsV2Config.from_official({"sources": STEMS})
    assert (second.resample, second.normalize, second.segment_s) == (True, False, 40.0)
    for config in (first, second):
        assert config.widths == (64, 128, 256, 512, 1024, 2048)
        assert (config.kernel_size, config.stride, config.context) == (8, 4, 3)
        assert (config.rewrite, config.glu, config.lstm_layers) == (True, True, 2)
        assert (config.channels, config.rate_hz) == (2, 44_100)


def test_conv_tasnet_has_the_defaults_of_the_release_that_its_arguments_are_of() -> None:
    first = ConvTasNetConfig.from_official({"C": 4})
    second = ConvTasNetConfig.from_official({"sources": STEMS})
    assert (first.sources, first.channels, first.segment_s) == (MUSDB, 1, 10.0)
    assert (second.sources, second.channels, second.segment_s) == (tuple(STEMS), 2, 8.0)
    for config in (first, second):
        assert (config.filters, config.filter_frames, config.bottleneck) == (256, 20, 256)
        assert (config.hidden, config.kernel_size, config.blocks, config.repeats) == (512, 3, 8, 4)
        assert (config.norm, config.mask) == ("gLN", "relu")


def test_arguments_reach_the_model() -> None:
    arguments = {"sources": STEMS, "audio_channels": 1, "channels": 6, "depth": 3, "growth": 1.5}
    more = {"samplerate": 48_000, "segment_length": 96_000, "rescale": "anything"}
    model = Demucs(DemucsV2Config.from_official({**arguments, **more}))
    assert model.config.widths == (6, 9, 13)  # each rounded down
    assert (model.sources, model.channels) == (("drums", "vocals"), 1)
    assert (model.rate_hz, model.segment_s) == (48_000, 2.0)


BAD = [
    (DemucsV1Config, {"sources": 3}, "sources"),
    (DemucsV1Config, {"sources": True}, "sources"),
    (DemucsV1Config, {"upsample": True}, "upsample"),
    (DemucsV1Config, {"resample": False}, "resample"),
    (DemucsV1Config, {"normalize": False}, "normalize"),
    (DemucsV2Config, {"upsample": False}, "upsample"),
    (DemucsV2Config, {"sources": 4}, "sources"),
    (DemucsV2Config, {"sources": None}, "sources"),
    (DemucsV2Config, {"sources": []}, "sources"),
    (DemucsV2Config, {"sources": "drums"}, "sources"),
    (DemucsV2Config, {"sources": ["a", "a"]}, "sources"),
    (DemucsV2Config, {"sources": ["a", 1]}, "sources"),
    (DemucsV2Config, {"sources": ["../a"]}, "sources"),
    (DemucsV2Config, {"sources": ["a\nb"]}, "sources"),
    (DemucsV2Config, {"sources": [f"stem {i}" for i in range(33)]}, "sources"),
    (DemucsV2Config, {"channels": 10**9}, "channels"),
    (DemucsV2Config, {"channels": 10**6000}, "channels"),
    (DemucsV2Config, {"channels": 64.0}, "channels"),
    (DemucsV2Config, {"channels": "64"}, "channels"),
    (DemucsV2Config, {"channels": True}, "channels"),
    (DemucsV2Config, {"channels": 0}, "channels"),
    (DemucsV2Config, {"channels": 1024}, "growth"),
    (DemucsV2Config, {"channels": 1, "growth": 0.5}, "growth"),
    (DemucsV2Config, {"growth": float("nan")}, "growth"),
    (DemucsV2Config, {"growth": float("inf")}, "growth"),
    (DemucsV2Config, {"growth": True}, "growth"),
    (DemucsV2Config, {"depth": 0}, "depth"),
    (DemucsV2Config, {"depth": 1000}, "depth"),
    (DemucsV2Config, {"stride": 16, "kernel_size": 16}, "depth"),
    (DemucsV2Config, {"stride": 9}, "stride"),
    (DemucsV2Config, {"stride": 0}, "stride"),
    (DemucsV2Config, {"kernel_size": 2}, "kernel_size"),
    (DemucsV2Config, {"context": 0}, "context"),
    (DemucsV2Config, {"lstm_layers": -1}, "lstm_layers"),
    (DemucsV2Config, {"lstm_layers": 100}, "lstm_layers"),
    (DemucsV2Config, {"glu": 1}, "glu"),
    (DemucsV2Config, {"audio_channels": 0}, "audio_channels"),
    (DemucsV2Config, {"samplerate": 1}, "samplerate"),
    (DemucsV2Config, {"segment_length": 1}, "segment_length"),
    (DemucsV2Config, {"segment_length": 10**12}, "segment_length"),
    (DemucsV2Config, {"nonsense": 1}, "nonsense"),
    (ConvTasNetConfig, {"C": 2}, "C"),
    (ConvTasNetConfig, {"causal": True}, "causal"),
    (ConvTasNetConfig, {"norm_type": "BN"}, "norm_type"),
    (ConvTasNetConfig, {"mask_nonlinear": ["relu"]}, "mask_nonlinear"),
    (ConvTasNetConfig, {"P": 2}, "P"),
    (ConvTasNetConfig, {"L": 1}, "L"),
    (ConvTasNetConfig, {"X": 60}, "X"),
    (ConvTasNetConfig, {"H": 10**9}, "H"),
    (ConvTasNetConfig, {"nonsense": 1}, "nonsense"),
]


@pytest.mark.parametrize(("config", "arguments", "name"), BAD)
def test_a_bad_argument_is_named_in_one_line(
    config: type[DemucsV1Config | DemucsV2Config | ConvTasNetConfig],
    arguments: dict[str, Any],
    name: str,
) -> None:
    base = {} if config is DemucsV1Config else {"sources": STEMS}
    config.from_official(base)  # fine without
    with pytest.raises(InputError) as raised:
        config.from_official({**base, **arguments})
    message = str(raised.value)
    assert name in message
    assert "\n" not in message
    assert len(message) < 300


def test_version_2_wants_to_know_its_sources() -> None:
    with pytest.raises(InputError, match=r"sources is a list .*, not left out"):
        DemucsV2Config.from_official({})


@st.composite
def configs(draw: st.DrawFn) -> DemucsConfig:
    kernel_size = draw(st.integers(3, 9))
    return DemucsConfig(
        sources=("a", "b"),
        channels=draw(st.integers(1, 2)),
        hidden=2,
        growth=1.5,
        depth=draw(st.integers(1, 4)),
        kernel_size=kernel_size,
        stride=draw(st.integers(1, min(4, kernel_size))),
        context=draw(st.integers(1, 5)),
        rewrite=draw(st.booleans()),
        glu=draw(st.booleans()),
        lstm_layers=draw(st.integers(0, 1)),
        resample=draw(st.booleans()),
        normalize=draw(st.booleans()),
    )


@given(config=configs(), frames=st.integers(1, 600))
@settings(max_examples=examples(100))
def test_a_valid_length_gives_the_frames_that_were_asked_for(
    config: DemucsConfig, frames: int
) -> None:
    model = filled(Demucs(config))
    length = model.valid_frames(frames)
    assert length >= frames
    assert model.valid_frames(frames + 1) >= length
    assume(length < 6000)
    stems = model(noise(config.channels, length))
    assert stems.shape[:3] == (1, 2, config.channels)
    assert frames <= stems.shape[-1] <= length
    assert stems.isfinite().all()


def test_valid_lengths_of_the_released_architecture() -> None:
    """Worked out by hand from the layers: K = 8, S = 4, context 3, six blocks."""
    second = Demucs(DemucsConfig(("a",), hidden=1, growth=1.0, lstm_layers=0, resample=True))
    first = Demucs(DemucsConfig(("a",), hidden=1, growth=1.0, lstm_layers=0))
    # Down to 1 in each block, 3 with context; then six times (n - 1) * 4 + 8: 16, 68, 276 ...
    assert first.valid_frames(1) == 17748
    assert second.valid_frames(1) == 17748 / 2
    steps = {first.valid_frames(n) for n in range(1, 40_000, 50)}
    assert {b - a for a, b in zip(sorted(steps), sorted(steps)[1:], strict=False)} == {4**6}


@given(config=configs(), more=st.integers(0, 40))
@settings(max_examples=examples(30))
def test_any_length_from_the_least_on_goes_through(config: DemucsConfig, more: int) -> None:
    model = filled(Demucs(config))
    least = model.valid_frames(1)
    assume(least < 3000)
    assert model(noise(config.channels, least + more)).shape[-1] >= 1
    with pytest.raises(InputError, match=f"needs {least} frames or more, not {least - 1}"):
        model(noise(config.channels, least - 1))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_what_comes_out_is_the_middle_of_what_goes_in(depth: int) -> None:
    """Filters that pass a positive signal through, so that only the skips add up."""
    config = DemucsConfig(
        ("a",), 1, hidden=1, growth=1.0, depth=depth, kernel_size=3, stride=1, glu=False,
        lstm_layers=0,
    )  # fmt: skip
    model = Demucs(config).requires_grad_(False)
    for parameter in model.parameters():
        parameter.zero_()
        if parameter.ndim == 3:
            parameter[..., parameter.shape[-1] // 2] = 1.0
    mixture = noise(1, model.valid_frames(50)).abs()
    (stem,) = model(mixture)[0]
    cut = (mixture.shape[-1] - stem.shape[-1]) // 2
    assert cut == depth  # one frame on each side for the context of each decoder block
    middle = (depth + 1) * mixture[0, :, cut:-cut]
    inside = slice(depth, -depth)  # the first and last frames of a filter's reach fade
    torch.testing.assert_close(stem[:, inside], middle[:, inside])


@pytest.mark.parametrize("resample", [False, True])
def test_recordings_of_a_batch_do_not_touch_each_other(resample: bool) -> None:
    config = DemucsConfig(("a", "b"), hidden=3, depth=2, resample=resample, normalize=True)
    models: list[WaveformModel] = [filled(Demucs(config)), tiny_tasnet()]
    for model in models:
        frames = model.valid_frames(300)
        mixture = noise(2, frames, batch=3) * torch.tensor([1.0, 0.1, 3.0])[:, None, None]
        stems = model(mixture)
        for i in range(3):
            torch.testing.assert_close(stems[i], model(mixture[i : i + 1])[0])


def test_normalisation_follows_level_and_offset() -> None:
    config = DemucsConfig(("a", "b"), hidden=3, depth=2, normalize=True)
    model = filled(Demucs(config))
    mixture = noise(2, model.valid_frames(500))
    before, after = model(mixture), model(4 * mixture + 0.5)
    torch.testing.assert_close(after, 4 * before + 0.5, rtol=1e-3, atol=1e-3)
    silence = model(torch.zeros_like(mixture))
    assert silence.abs().max() == 0  # deviation 0


def test_conv_tasnet_keeps_the_length_and_leaves_an_unfilled_filter_silent() -> None:
    model = tiny_tasnet()
    whole, more = model(noise(2, 100)), model(torch.cat([noise(2, 100), noise(2, 7)], dim=-1))
    assert whole.shape == (1, 2, 2, 100)
    assert more.shape == (1, 2, 2, 107)
    torch.testing.assert_close(more[..., :100], whole)
    assert whole[..., -1].abs().max() > 0
    assert more[..., 100:].abs().max() == 0


def test_conv_tasnet_refuses_less_than_a_filter() -> None:
    model = tiny_tasnet()
    assert [model.valid_frames(n) for n in (1, 20, 21)] == [20, 20, 21]
    with pytest.raises(InputError, match="needs 20 frames or more, not 19"):
        model(noise(2, 19))


def test_softmax_masks_share_out_the_mixture() -> None:
    """They add up to 1, so the stems add up to the decoded mixture."""
    model = tiny_tasnet(mask_nonlinear="softmax", norm_type="cLN")
    mixture = noise(2, 100)
    whole = model.decoder(model.encoder(mixture).relu_())
    torch.testing.assert_close(model(mixture).sum(dim=1), whole)


def test_channel_wise_norm_is_torch_s_over_the_channels() -> None:
    norm = tiny_tasnet().separator.layer_norm
    x = noise(4, 50, batch=2)
    gamma, beta = norm.gamma.flatten(), norm.beta.flatten()
    theirs = nn.functional.layer_norm(x.transpose(1, 2), (4,), gamma, beta, eps=1e-8)
    torch.testing.assert_close(norm(x), theirs.transpose(1, 2), rtol=1e-4, atol=1e-5)


def test_official_names_without_the_1x1_convolutions() -> None:
    config = DemucsConfig(("a",), hidden=2, depth=2, rewrite=False, lstm_layers=1)
    ours = Demucs(config).state_dict()
    layers = {f"{part}.{i}.0.{kind}" for part in ("encoder", "decoder") for i in (0, 1)
              for kind in ("weight", "bias")}  # fmt: skip
    official = layers | {name for name in ours if name.startswith("lstm.")}
    renamed = Demucs.from_official_state({name: torch.empty(0) for name in official})
    assert renamed.keys() == ours.keys()
