"""Layers with what follows them in one pass give what the layers and the rest give one by one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from separator.models import fused
from separator.models.convolution import TransposedConvolution, several
from tests.hypothesis_profiles import examples

TYPES = [torch.float32, torch.bfloat16]
ROUNDING = {torch.float32: 1e-5, torch.bfloat16: 1e-2}  # of what is put out, once


@pytest.fixture(params=["oneDNN", "several passes"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "several passes":
        monkeypatch.setattr(fused, "_types", frozenset)


def noise(dtype: torch.dtype, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator).to(dtype)


def applied(made: Tensor, activation: str) -> Tensor:
    if activation == "gelu":
        return nn.functional.gelu(made)
    if activation == "relu":
        return made.relu()
    return made.sigmoid() if activation == "sigmoid" else made


def assert_close(ours: Tensor, exact: Tensor) -> None:
    assert ours.shape == exact.shape
    error = (ours.double() - exact).abs().max()
    assert error <= ROUNDING[ours.dtype] * exact.abs().max()


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("activation", ["none", "gelu", "relu", "sigmoid"])
@torch.inference_mode()
def test_a_linear_layer_and_its_activation(dtype: torch.dtype, activation: str) -> None:
    x, weight, bias = noise(dtype, 2, 70, 9), noise(dtype, 20, 9), noise(dtype, 20)
    exact = nn.functional.linear(x.double(), weight.double(), bias.double())
    made = fused.linear(x, weight, bias, activation=activation)  # type: ignore[arg-type]
    assert_close(made, applied(exact, activation))


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("dtype", TYPES)
@torch.inference_mode()
def test_a_linear_layer_times_something(dtype: torch.dtype) -> None:
    x, weight, bias = noise(dtype, 2, 70, 9), noise(dtype, 20, 9), noise(dtype, 20)
    factor = noise(dtype, 2, 70, 20)
    exact = nn.functional.linear(x.double(), weight.double(), bias.double()) * factor.double()
    kept = factor.clone()
    assert_close(fused.linear(x, weight, bias, factor=factor), exact)
    assert torch.equal(factor, kept)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("activation", ["none", "gelu", "relu", "sigmoid", "times"])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [
        ((3, 3), (1, 1), (1, 1), (1, 1)),
        ((8, 1), (4, 1), (2, 0), (1, 1)),
        ((1, 3), (1, 1), (0, 2), (1, 2)),
    ],
)
@torch.inference_mode()
def test_a_convolution_and_what_follows(
    dtype: torch.dtype,
    activation: str,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> None:
    x = noise(dtype, 1, 6, 16, 21).contiguous(memory_format=torch.channels_last)
    weight, bias = noise(dtype, 10, 6, *kernel), noise(dtype, 10)
    exact = nn.functional.conv2d(
        x.double(), weight.double(), bias.double(), stride, padding, dilation
    )
    shape = {"stride": stride, "padding": padding, "dilation": dilation}
    if activation == "times":
        factor = noise(dtype, *exact.shape).contiguous(memory_format=torch.channels_last)
        made = fused.convolution(x, weight, bias, **shape, factor=factor)
        assert_close(made, exact * factor.double())
    else:
        made = fused.convolution(x, weight, bias, **shape, activation=activation)  # type: ignore[arg-type]
        assert_close(made, applied(exact, activation))
    assert made.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("activation", ["none", "gelu", "relu"])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [((8, 1), (4, 1), (2, 0)), ((8, 1), (4, 1), (0, 0)), ((3, 2), (2, 1), (1, 0))],
)
@torch.inference_mode()
def test_a_transposed_convolution_and_its_activation(
    dtype: torch.dtype,
    activation: str,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> None:
    x = noise(dtype, 1, 10, 7, 21).contiguous(memory_format=torch.channels_last)
    weight, bias = noise(dtype, 10, 6, *kernel), noise(dtype, 6)
    exact = nn.functional.conv_transpose2d(
        x.double(), weight.double(), bias.double(), stride, padding
    )
    made = fused.transposed_convolution(
        x,
        weight,
        bias,
        stride=stride,
        padding=padding,
        activation=activation,  # type: ignore[arg-type]
    )
    assert_close(made, applied(exact, activation))
    assert made.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("dtype", TYPES)
@settings(max_examples=examples(40))
@given(
    size=st.integers(1, 9),
    stride=st.integers(1, 5),
    padding=st.integers(0, 3),
    frames=st.integers(1, 30),
    activation=st.sampled_from(["none", "gelu", "relu"]),
)
@torch.inference_mode()
def test_along_time_it_is_the_same_by_other_means(
    dtype: torch.dtype, size: int, stride: int, padding: int, frames: int, activation: str
) -> None:
    assume((frames - 1) * stride + size - 2 * padding > 0)
    layer = TransposedConvolution(4, 3, (size,), stride=(1, stride), padding=(0, padding))
    layer.weight.data, layer.bias.data = noise(dtype, 4, 3, size), noise(dtype, 3)
    x = noise(dtype, 2, 4, 1, frames).contiguous(memory_format=torch.channels_last)
    exact = nn.functional.conv_transpose1d(
        x[:, :, 0].double(), layer.weight.double(), layer.bias.double(), stride, padding
    )
    made = layer(x, activation)
    assert_close(made[:, :, 0], applied(exact, activation))


def test_with_gradients_nothing_is_overwritten() -> None:
    x, weight = noise(torch.float32, 5, 4), noise(torch.float32, 3, 4)
    bias, factor = noise(torch.float32, 3), noise(torch.float32, 5, 3)
    inputs = tuple(tensor.double().requires_grad_() for tensor in (x, weight, bias, factor))

    def both(x: Tensor, weight: Tensor, bias: Tensor, factor: Tensor) -> Tensor:
        gated = fused.linear(x, weight, bias, factor=factor)
        return gated + fused.linear(x, weight, bias, activation="gelu")

    assert torch.autograd.gradcheck(both, inputs)


@torch.inference_mode()
def test_a_number_format_that_onednn_does_not_take_here_is_done_in_several_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fused, "_types", lambda: frozenset({torch.float32}))
    x, weight, bias = (noise(torch.bfloat16, *shape) for shape in ((4, 3), (2, 3), (2,)))
    exact = nn.functional.linear(x.double(), weight.double(), bias.double())
    assert_close(fused.linear(x, weight, bias), exact)


@pytest.mark.parametrize("tokens", [1, 6, 32, 37])
def test_what_meets_every_token_meets_several_in_a_row(tokens: int) -> None:
    x, scale = noise(torch.float32, 2, tokens, 5), noise(torch.float32, 2, 1, 5)
    wide, each = several(x, scale)
    assert torch.equal((wide * each).view_as(x), x * scale)
