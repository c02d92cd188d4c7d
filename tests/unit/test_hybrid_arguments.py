"""The hybrid models: which arguments they take and refuse, which lengths, and how their names map.

That the networks compute what the official ones do is in test_golden_hybrid.py.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from separator.errors import InputError
from separator.models.base import WaveformModel
from separator.models.demucs_v3 import DemucsV3, DemucsV3Config
from separator.models.hdemucs import HDemucs, HDemucsConfig
from separator.models.htdemucs import HTDemucs, HTDemucsConfig
from tests.hypothesis_profiles import examples

Model = TypeVar("Model", bound=WaveformModel)
STEMS = ["drums", "vocals"]
TINY = {"sources": STEMS, "channels": 8}
TINY_HT = {**TINY, "bottom_channels": 16, "t_heads": 4, "t_layers": 2, "segment": Fraction(1, 4)}


def filled(model: Model) -> Model:
    """Small random weights, the same in every run."""
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        nn.init.uniform_(parameter, -0.2, 0.25, generator=generator)
    return model.eval()


def demucs(**more: Any) -> DemucsV3:
    return filled(DemucsV3(DemucsV3Config.from_official({**TINY, **more})))


def hdemucs(**more: Any) -> HDemucs:
    return filled(HDemucs(HDemucsConfig.from_official({**TINY, **more})))


def htdemucs(**more: Any) -> HTDemucs:
    return filled(HTDemucs(HTDemucsConfig.from_official({**TINY_HT, **more})))


Maker = Callable[..., WaveformModel]
MAKERS: tuple[Maker, ...] = (demucs, hdemucs, htdemucs)


def noise(frames: int, batch: int = 1, channels: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(frames)
    return torch.randn(batch, channels, frames, generator=generator) * 0.1


def test_the_defaults_are_those_of_the_official_constructors() -> None:
    time = DemucsV3Config.from_official({"sources": STEMS})
    assert (time.hidden, time.depth, time.resample, time.normalize) == (64, 6, True, True)
    assert (time.segment_s, time.lstm_layers, time.dconv.compress) == (40, 0, 4)
    hybrid = HDemucsConfig.from_official({"sources": STEMS})
    assert (hybrid.hidden, hybrid.depth, hybrid.alignment) == (48, 6, "hybrid")
    assert (hybrid.segment_s, hybrid.dconv_mode, hybrid.dconv.compress) == (40, 1, 4)
    assert (hybrid.attention_starts, hybrid.lstm_starts, hybrid.norm_starts) == (4, 4, 4)
    transformer = HTDemucsConfig.from_official({"sources": STEMS})
    assert (transformer.depth, transformer.bottom_channels, transformer.segment_s) == (4, 0, 10)
    assert (transformer.dconv.compress, transformer.fixed_segment) == (8, True)
    assert transformer.transformer is not None
    assert (transformer.transformer.layers, transformer.transformer.heads) == (5, 8)


@pytest.mark.parametrize("config", [DemucsV3Config, HDemucsConfig, HTDemucsConfig])
def test_what_only_training_needs_changes_nothing(config: Any) -> None:
    training: dict[str, Any] = {"rescale": 0.5, "dconv_init": 1e-3}
    if config is not DemucsV3Config:
        training |= {"end_iters": 3, "wiener_residual": True, "emb_smooth": False}
    if config is HTDemucsConfig:
        training |= {"t_dropout": 0.3, "t_weight_decay": 0.1, "t_lr": None, "t_sparsity": 0.5}
    assert config.from_official({**TINY, **training}) == config.from_official(TINY)


@pytest.mark.parametrize("segment", ["39/5", Fraction(39, 5), 7.8])
def test_a_segment_may_be_a_fraction(segment: Any) -> None:
    model = htdemucs(segment=segment)
    assert (model.segment_frames, model.segment_s, model.fixed_segment) == (343_980, 7.8, True)


BAD: list[tuple[Any, dict[str, Any], str]] = [
    (HDemucsConfig, {"chanels": 48}, "chanels"),
    (HDemucsConfig, {"channels": 48.0}, "channels"),
    (HDemucsConfig, {"channels": True}, "channels"),
    (HDemucsConfig, {"channels": 10**30}, "channels"),
    (HDemucsConfig, {"sources": []}, "sources"),
    (HDemucsConfig, {"sources": "drums"}, "sources"),
    (HDemucsConfig, {"nfft": 4095}, "nfft"),
    (HDemucsConfig, {"stride": 2}, "stride"),
    (HDemucsConfig, {"kernel_size": 6, "stride": 3}, "kernel_size"),
    (HDemucsConfig, {"time_stride": 3}, "time_stride"),
    (HDemucsConfig, {"cac": False, "wiener_iters": 2}, "wiener_iters"),
    (HDemucsConfig, {"hybrid": False, "hybrid_old": True}, "hybrid_old"),
    (HDemucsConfig, {"growth": float("nan")}, "growth"),
    (HDemucsConfig, {"multi_freqs": [0.6, 0.2]}, "multi_freqs"),
    (HDemucsConfig, {"multi_freqs": ["0.2"]}, "multi_freqs"),
    (HDemucsConfig, {"dconv_comp": 0}, "dconv_comp"),
    (HDemucsConfig, {"segment": "1/0"}, "segment"),
    (HDemucsConfig, {"segment": "9" * 5000}, "segment"),
    (HDemucsConfig, {"segment": 1e9}, "segment"),
    (HTDemucsConfig, {"segment": True}, "segment"),
    (HTDemucsConfig, {"t_emb": "cape"}, "t_emb"),
    (HTDemucsConfig, {"t_sparse_self_attn": True}, "t_sparse_self_attn"),
    (HTDemucsConfig, {"t_sparse_cross_attn": True}, "t_sparse_cross_attn"),
    (HTDemucsConfig, {"t_sin_random_shift": 5}, "t_sin_random_shift"),
    (HTDemucsConfig, {"t_layers": 10**6}, "t_layers"),
    (HTDemucsConfig, {"bottom_channels": 10**6}, "bottom_channels"),
    (HTDemucsConfig, {"hybrid_old": True}, "hybrid_old"),
    (DemucsV3Config, {"stride": 9}, "stride"),
    (DemucsV3Config, {"depth": 10, "stride": 8}, "stride"),
    (DemucsV3Config, {"lstm_layers": -1}, "lstm_layers"),
]


@pytest.mark.parametrize(("config", "arguments", "named"), BAD)
def test_an_argument_that_cannot_be_is_refused_by_name(
    config: Any, arguments: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError, match=named) as caught:
        config.from_official({**TINY, **arguments})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    ("make", "arguments", "problem"),
    [
        (hdemucs, {"depth": 4}, "too small for the branches to meet"),
        (hdemucs, {"nfft": 2048}, "nfft"),
        (hdemucs, {"growth": 8, "channels": 64}, "growth"),
        (hdemucs, {"norm_groups": 3}, "norm_groups"),
        (hdemucs, {"dconv_comp": 100}, "dconv_comp"),
        (hdemucs, {"dconv_comp": 10, "dconv_attn": 4}, "dconv_comp"),
        (hdemucs, {"multi_freqs": [0.001]}, "multi_freqs"),
        (hdemucs, {"multi_freqs": [0.5], "multi_freqs_depth": 6}, "multi_freqs"),
        (htdemucs, {"depth": 5}, "no frequencies"),
        (htdemucs, {"t_heads": 5}, "t_heads"),
        (htdemucs, {"bottom_channels": 18, "t_heads": 2}, "width 18"),
        (htdemucs, {"bottom_channels": 0, "channels_time": 16}, "channels_time"),
        (htdemucs, {"bottom_channels": 2048, "t_hidden_scale": 64}, "tokens"),
        (demucs, {"growth": 8, "channels": 64}, "growth"),
        (demucs, {"norm_groups": 5}, "norm_groups"),
    ],
)
def test_sizes_that_do_not_fit_each_other_are_refused(
    make: Maker, arguments: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        make(**arguments)


@pytest.mark.parametrize("make", MAKERS)
@settings(max_examples=examples(8))
@given(frames=st.integers(1, 9000))
def test_any_length_comes_back(make: Maker, frames: int) -> None:
    model = make()
    with torch.inference_mode():
        stems = model(noise(frames))
    assert stems.shape == (1, 2, 2, frames)
    assert stems.dtype == torch.float32
    assert stems.isfinite().all()


@pytest.mark.thorough
@pytest.mark.parametrize("make", MAKERS)
def test_items_of_a_batch_do_not_see_each_other(make: Maker) -> None:
    model, mixture = make(), noise(5000, batch=3)
    mixture[1] *= 20
    with torch.inference_mode():
        together, alone = model(mixture), model(mixture[2:])
    assert torch.allclose(together[2:], alone, atol=1e-4 * alone.abs().max())


@pytest.mark.thorough
@pytest.mark.parametrize("make", MAKERS)
def test_it_also_works_with_gradients(make: Maker) -> None:
    model, mixture = make(), noise(3000)
    with torch.inference_mode():
        expected = model(mixture)  # first, so that whatever is kept is kept from inference mode
    stems = model(mixture)
    assert torch.allclose(stems, expected, atol=1e-5 * expected.abs().max())
    stems.square().sum().backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


@pytest.mark.thorough
@pytest.mark.parametrize("more", [{}, {"channels_time": 4}, {"hybrid": False}, {"cac": False}])
def test_variants_of_hybrid_demucs_run(more: dict[str, Any]) -> None:
    with torch.inference_mode():
        stems = hdemucs(dconv_comp=2, **more)(noise(7000))
    assert stems.shape == (1, 2, 2, 7000)
    assert stems.isfinite().all()


def test_a_fixed_segment_is_its_only_length() -> None:
    model = htdemucs()
    assert model.segment_frames == 11_025
    assert model.valid_frames(1) == model.valid_frames(11_025) == 11_025
    with pytest.raises(InputError, match="11025"):
        model.valid_frames(11_026)
    with pytest.raises(InputError, match="11025"):
        model(noise(11_026))


def test_a_short_input_is_filled_up_with_silence_to_the_fixed_segment() -> None:
    model, mixture = htdemucs(), noise(4000)
    padded = nn.functional.pad(mixture, (0, 7025))
    with torch.inference_mode():
        assert torch.equal(model(mixture), model(padded)[..., :4000])


def test_without_a_fixed_segment_any_length_is_valid() -> None:
    model = htdemucs(use_train_segment=False)
    assert not model.fixed_segment
    assert model.valid_frames(30_000) == 30_000
    with torch.inference_mode():
        assert model(noise(30_000)).shape[-1] == 30_000


@given(st.integers(1, 200_000), st.booleans(), st.integers(1, 6))
def test_valid_lengths_of_demucs_leave_nothing_over(
    frames: int, resample: bool, depth: int
) -> None:
    config = DemucsV3Config.from_official({**TINY, "resample": resample, "depth": depth})
    model = DemucsV3.valid_frames
    holder = type("Holder", (), {"config": config})()
    valid = model(holder, frames)
    assert valid >= frames
    assert model(holder, valid) == valid
    left = 2 * valid if resample else valid
    for _ in range(depth):
        # At twice the rate an odd length was rounded up by one.
        assert (left - 8) % 4 in ({0, 1} if resample else {0})
        left = (left - 8) // 4 + 1


def layer(prefix: str, *, weight: Tensor) -> dict[str, Tensor]:
    return {f"{prefix}.weight": weight, f"{prefix}.bias": torch.empty(1)}


CONV, NORM = torch.empty(1, 1, 1), torch.empty(1)


def test_names_of_demucs_layers_follow_from_what_is_there() -> None:
    state = {
        **layer("encoder.0.0", weight=CONV),
        **layer("encoder.0.3", weight=CONV),
        **layer("encoder.1.0", weight=CONV),
        **layer("encoder.1.1", weight=NORM),
        **layer("encoder.1.3.layers.0.0", weight=CONV),
        **layer("encoder.1.4", weight=CONV),
        **layer("encoder.1.5", weight=NORM),
        **layer("decoder.0.0", weight=CONV),
        **layer("decoder.0.1", weight=NORM),
        **layer("decoder.0.3", weight=CONV),
        **layer("decoder.0.4", weight=NORM),
        **layer("decoder.1.0", weight=CONV),
    }
    ours = {name for name in DemucsV3.from_official_state(state) if name.endswith(".weight")}
    assert ours == {
        "encoder.0.conv.weight",
        "encoder.0.rewrite.weight",
        "encoder.1.conv.weight",
        "encoder.1.norm1.weight",
        "encoder.1.dconv.branches.0.conv.weight",
        "encoder.1.rewrite.weight",
        "encoder.1.norm2.weight",
        "decoder.0.rewrite.weight",
        "decoder.0.norm1.weight",
        "decoder.0.conv_tr.weight",
        "decoder.0.norm2.weight",
        "decoder.1.conv_tr.weight",
    }


def test_names_of_older_files_without_normalisation_map_too() -> None:
    state = {
        **layer("encoder.0.0", weight=CONV),
        **layer("encoder.0.2", weight=CONV),
        **layer("decoder.0.0", weight=CONV),
        **layer("decoder.0.2", weight=CONV),
    }
    assert list(DemucsV3.from_official_state(state)) == [
        f"{name}.{kind}"
        for name in (
            "encoder.0.conv",
            "encoder.0.rewrite",
            "decoder.0.rewrite",
            "decoder.0.conv_tr",
        )
        for kind in ("weight", "bias")
    ]


def test_names_inside_a_residual_branch() -> None:
    names = {
        "0.weight": "conv.weight",
        "1.bias": "norm1.bias",
        "3.lstm.bias_hh_l0": "lstm.lstm.bias_hh_l0",
        "3.linear.bias": "lstm.linear.bias",
        "4.query.weight": "attention.query.weight",
        "4.proj.bias": "attention.proj.bias",
        "5.weight": "expand.weight",
        "6.weight": "norm2.weight",
        "8.scale": "scale",
    }
    state = {f"encoder.4.dconv.layers.1.{name}": NORM for name in names}
    assert list(HDemucs.from_official_state(state)) == [
        f"encoder.4.dconv.branches.1.{name}" for name in names.values()
    ]


def test_names_that_are_not_known_stay_to_be_reported() -> None:
    state = {"encoder.0.dconv.layers.0.kernel": NORM, "malware": NORM}
    for model in (DemucsV3, HDemucs, HTDemucs):
        assert model.from_official_state(state) == state
