"""Parts of the hybrid models by themselves, each against its formula computed another way."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from separator.models import transformer
from separator.models.convolution import Convolution, TransposedConvolution, as_image, as_tokens
from separator.models.dconv import (
    BLSTM,
    DConv,
    DConvShape,
    LocalAttention,
    RowNorm,
    _left_factor,
    _right_factor,
)
from separator.models.spectrum import Alignment, Spectrogram, reflect
from separator.models.transformer import TokensNorm, positions, positions_2d
from separator.models.unet import (
    BandDecoder,
    BandEncoder,
    DecoderLayer,
    EncoderLayer,
    LayerShape,
    band_rows,
    joined,
)
from tests.hypothesis_profiles import examples

Module = TypeVar("Module", bound=nn.Module)
CPU = torch.device("cpu")


def filled(module: Module, seed: int = 0) -> Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        nn.init.uniform_(parameter, -0.5, 0.6, generator=generator)
    return module.eval().requires_grad_(False)


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def assert_close(ours: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    assert ours.shape == expected.shape
    assert (ours - expected).abs().max() <= tolerance * expected.abs().max()


# Products in bfloat16


def test_split_factors_are_nearly_as_exact_as_float32() -> None:
    left, right = noise(3, 50, 7), noise(3, 7, 40)
    exact = left.double() @ right.double()

    def error(made: Tensor) -> float:
        return float((made.double() - exact).abs().max() / exact.abs().max())

    factors = _left_factor(left, torch.bfloat16), _right_factor(right, torch.bfloat16)
    assert all(factor.dtype is torch.bfloat16 for factor in factors)
    assert error(factors[0].float() @ factors[1].float()) < 2e-5
    assert error(left.bfloat16().float() @ right.bfloat16().float()) > 1e-3
    assert _left_factor(left, torch.float32) is left
    assert _right_factor(right, torch.float32) is right


@pytest.mark.parametrize("tiles", [False, True])
@torch.inference_mode()
def test_attention_in_bfloat16_both_ways(monkeypatch: pytest.MonkeyPatch, tiles: bool) -> None:
    monkeypatch.setattr(transformer, "_has_tiles", lambda: tiles)
    theirs = nn.functional.scaled_dot_product_attention
    calls: list[Tensor] = []

    def counted(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        calls.append(query)
        return theirs(query, key, value)

    monkeypatch.setattr(nn.functional, "scaled_dot_product_attention", counted)
    for count in (130, 2 * transformer.QUERIES_AT_ONCE, 1500):
        query, key, value = (noise(2, 3, n, 16).bfloat16() for n in (count, 130, 130))
        made = transformer.attention(query, key, value)
        assert made.dtype is torch.bfloat16
        assert_close(made.double(), theirs(query.double(), key.double(), value.double()), 2e-2)
    assert len(calls) == (3 if tiles else 0)


@torch.inference_mode()
def test_logits_far_apart_leave_attention_to_the_nearest_key() -> None:
    key = 100 * torch.eye(16)[None, None].bfloat16()
    made = transformer.attention(key, key, value := noise(1, 1, 16, 5).bfloat16())
    assert torch.equal(made, value)


def test_attention_in_bfloat16_has_gradients() -> None:
    query = noise(1, 1, 20, 16).bfloat16().requires_grad_()
    transformer.attention(query, query, query).float().square().sum().backward()
    assert query.grad is not None
    assert bool(query.grad.isfinite().all())


# The spectrogram


@pytest.mark.parametrize("frames", [4096, 5000, 10_240])
def test_columns_are_those_of_a_centred_transform_of_the_padded_wave(frames: int) -> None:
    wave, hop = noise(2, 2, frames), 256
    count = -(-frames // hop)
    padded = nn.functional.pad(wave, (384, 384 + count * hop - frames), mode="reflect")
    theirs = torch.stft(
        padded.flatten(0, 1), 1024, hop, window=torch.hann_window(1024), normalized=True,
        return_complex=True,
    )  # fmt: skip
    theirs = theirs.view(2, 2, 513, -1)[:, :, :-1, 2 : 2 + count]
    ours = Spectrogram(1024).analyse(wave)
    assert ours.shape == (2, count, 2, 512)
    assert_close(ours.permute(0, 2, 3, 1), theirs)


@settings(max_examples=examples(20))
@given(frames=st.integers(1, 1500), alignment=st.sampled_from(["hybrid", "hybrid-old", "centred"]))
def test_synthesis_is_that_of_torch(frames: int, alignment: Alignment) -> None:
    columns = frames // 64 + 1 if alignment == "centred" else -(-frames // 64)
    spectrum = torch.view_as_complex(noise(3, columns, 128, 2))
    ours = Spectrogram(256, alignment).synthesise(spectrum, frames)
    silent = 0 if alignment == "centred" else 2
    first = 96 if alignment == "hybrid" else 0
    theirs = torch.istft(
        nn.functional.pad(spectrum.transpose(1, 2), (silent, silent, 0, 1)),
        256,
        64,
        window=torch.hann_window(256),
        normalized=True,
        length=first + frames,
    )
    assert_close(ours, theirs[:, first:])


@pytest.mark.parametrize(("alignment", "late"), [("hybrid", 0), ("centred", 0), ("hybrid-old", 96)])
def test_synthesis_undoes_analysis(alignment: Alignment, late: int) -> None:
    # Slow, and silent at its ends: nothing in the highest bin, which is left out.
    wave = torch.sin(torch.arange(3000) * 0.1)
    wave = wave * nn.functional.pad(torch.hann_window(2000), (500, 500))
    transform = Spectrogram(256, alignment)
    ours = transform.synthesise(transform.analyse(wave[None, None]).transpose(1, 2), 3000)[0, 0]
    assert_close(ours[late:], wave[: 3000 - late], 1e-4)
    assert ours[:late].abs().sum() < 1e-4


@given(frames=st.integers(1, 40), before=st.integers(0, 30), after=st.integers(0, 30))
def test_reflection_keeps_the_wave_whatever_its_length(
    frames: int, before: int, after: int
) -> None:
    wave = noise(1, 1, frames)
    padded = reflect(wave, before, after)
    assert padded.shape[-1] == before + frames + after
    assert torch.equal(padded[..., before : before + frames], wave)
    if frames > max(before, after):
        expected = np.pad(wave.numpy(), ((0, 0), (0, 0), (before, after)), mode="reflect")
        assert np.array_equal(padded.numpy(), expected)


# Convolutions


@pytest.mark.parametrize("size", [1, 3])
def test_a_convolution_over_time_is_that_of_torch(size: int) -> None:
    ours = filled(Convolution(3, 5, (size,), padding=(0, size // 2)))
    x = noise(2, 3, 40)
    expected = nn.functional.conv1d(x, ours.weight, ours.bias, padding=size // 2)
    assert_close(ours(x[:, :, None])[:, :, 0], expected)


def test_a_transposed_convolution_over_time_is_that_of_torch() -> None:
    ours = filled(TransposedConvolution(3, 5, (8,), stride=(1, 4), padding=(0, 2)))
    x = noise(2, 3, 40)
    expected = nn.functional.conv_transpose1d(x, ours.weight, ours.bias, stride=4, padding=2)
    assert_close(ours(x[:, :, None])[:, :, 0], expected)


def test_tokens_go_through_bins_and_in_each_through_frames() -> None:
    x = noise(2, 3, 4, 5)
    tokens = as_tokens(x)
    assert tokens.shape == (2, 20, 3)
    assert torch.equal(tokens[1, 2 * 5 + 4], x[1, :, 2, 4])
    assert torch.equal(as_image(tokens, 4), x)


# Residual branches


@pytest.mark.parametrize(
    ("channels", "frames", "mean"),
    [(2, 20_000, 10.0), (96, 5000, 10.0), (12, 300, 10.0), (1, 50, 10.0), (96, 300, 0.3)],
)
def test_rows_are_normalised_in_full_precision(channels: int, frames: int, mean: float) -> None:
    norm = filled(RowNorm(channels))
    x = (noise(3, channels, 1, frames) + mean).contiguous(memory_format=torch.channels_last)
    exact = nn.functional.group_norm(x.double(), 1, norm.weight.double(), norm.bias.double())
    error = (norm(x) - exact).square().sum() / exact.square().sum()
    assert 10 * math.log10(error) < -105


def test_every_bin_is_a_sequence_by_itself() -> None:
    dconv = filled(DConv(8, DConvShape(compress=2, attention=True, lstm=True)))
    image = noise(2, 8, 5, 30)
    whole = dconv(image)
    for index in range(5):
        assert_close(whole[:, :, index : index + 1], dconv(image[:, :, index : index + 1]))


def test_local_attention_is_its_formula() -> None:
    width, frames, heads = 8, 17, 4
    attention = filled(LocalAttention(width)).double()
    x = noise(1, frames, width).double()

    def head(projection: nn.Module, index: int, size: int) -> Tensor:
        projected: Tensor = projection(x)[0]
        return projected[:, index * size : (index + 1) * size]

    attended = torch.zeros(frames, width, dtype=torch.float64)
    for index in range(heads):
        query, key, content = (
            head(p, index, 2) for p in (attention.query, attention.key, attention.content)
        )
        decay = head(attention.query_decay, index, 4).sigmoid() / 2
        for s in range(frames):
            logits = [
                -math.inf
                if t == s
                else float(query[s] @ key[t]) / math.sqrt(2)
                - sum((k + 1) * abs(t - s) / 2 * float(decay[s, k]) for k in range(4))
                for t in range(frames)
            ]
            weights = torch.tensor(logits, dtype=torch.float64).softmax(0)
            attended[s, 2 * index : 2 * index + 2] = weights @ content
    assert_close(attention(x)[0], x[0] + attention.proj(attended[None])[0], 1e-6)


def test_one_frame_attends_to_itself_for_want_of_others() -> None:
    attention = filled(LocalAttention(8))
    x = noise(1, 1, 8)
    assert_close(attention(x), x + attention.proj(attention.content(x)))


@pytest.mark.parametrize("frames", [1, 199, 200, 201, 250, 300, 301, 730])
def test_the_lstm_keeps_the_middle_of_each_span(frames: int) -> None:
    width = 3
    blstm = filled(BLSTM(width, 1, spans=True))
    plain = BLSTM(width, 1, spans=False)
    plain.load_state_dict(blstm.state_dict())
    x = noise(2, frames, width)
    expected = torch.empty_like(x)
    starts = range(0, frames, 100) if frames > 200 else [0]
    for start in starts:
        span = torch.zeros(2, 200 if frames > 200 else frames, width)
        part = x[:, start : start + span.shape[1]]
        span[:, : part.shape[1]] = part
        done = plain(span)
        first = 0 if start == 0 else 50
        kept = min(start + span.shape[1], frames) - start
        expected[:, start + first : start + kept] = done[:, first:kept]
    assert_close(blstm(x), x + expected)


# Bands


BANDED = LayerShape(channels=6, kernel=8, stride=4, padding=2, along_frequency=True)


@pytest.mark.parametrize("ratios", [(0.5,), (0.2, 0.6), (0.1, 0.35, 0.8)])
def test_bands_with_equal_weights_are_the_plain_layer(ratios: tuple[float, ...]) -> None:
    plain = filled(EncoderLayer(BANDED, 4))
    banded = BandEncoder(BANDED, 4, ratios).eval().requires_grad_(False)
    for layer in banded.layers:
        layer.load_state_dict(plain.state_dict())
    image = noise(2, 4, 128, 9)
    assert_close(banded(image), plain(image))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("ratios", [(0.5,), (0.2, 0.6), (0.1, 0.35, 0.8)])
def test_decoder_bands_with_equal_weights_are_the_plain_layer(
    ratios: tuple[float, ...], last: bool
) -> None:
    shape = replace(BANDED, context_bins=False)  # or the edges of bands would see zeros
    plain = filled(DecoderLayer(shape, 5, last=last))
    banded = BandDecoder(BANDED, 5, ratios, last=last).eval().requires_grad_(False)
    for layer in banded.layers:
        layer.load_state_dict(plain.state_dict())
    image, skip = noise(2, 6, 32, 9), noise(2, 6, 32, 9) + 1
    assert_close(banded(joined(image, skip.clone()))[0], plain(joined(image, skip))[0])


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=5, unique=True), st.integers(5, 11))
def test_bands_follow_each_other_without_a_gap(ratios: list[float], order: int) -> None:
    rows = band_rows(BANDED, tuple(sorted(ratios)), 2**order)
    assert rows[0][0] == 0
    assert rows[-1][1] == 2**order // 4
    assert all(before[1] == after[0] for before, after in itertools.pairwise(rows))


# The transformer


def test_positions_are_cosines_and_sines_of_falling_rates() -> None:
    ours = positions(50, 8, 10_000.0, CPU)
    for place in (0, 1, 49):
        phases = [place / 10_000 ** (order / 3) for order in range(4)]
        expected = [*map(math.cos, phases), *map(math.sin, phases)]
        assert ours[place].tolist() == pytest.approx(expected, abs=1e-5)


def test_positions_of_an_image_say_column_then_bin() -> None:
    ours = positions_2d(3, 7, 8, 10_000.0, CPU)
    assert ours.shape == (21, 8)
    for place_bin, column in ((0, 0), (2, 5), (1, 6)):
        expected = [
            wave(place * rate)
            for place in (column, place_bin)
            for rate in (1.0, 10_000 ** (-2 / 4))
            for wave in (math.sin, math.cos)
        ]
        assert ours[place_bin * 7 + column].tolist() == pytest.approx(expected, abs=1e-5)


def test_positions_kept_from_inference_mode_serve_with_gradients() -> None:
    with torch.inference_mode():
        kept = positions(11, 8, 123.0, CPU)
    assert positions(11, 8, 123.0, CPU) is kept
    assert not kept.is_inference()


def test_the_norm_of_all_tokens_has_one_mean() -> None:
    norm = TokensNorm(1, 4).requires_grad_(False)
    x = noise(2, 50, 4) * 3 + 1
    normal = norm(x)
    assert normal.shape == x.shape
    for item in normal:
        assert abs(item.mean()) < 1e-5
        assert item.std(correction=0) == pytest.approx(1, abs=1e-3)
