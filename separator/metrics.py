"""Metrics of separation quality: SDR, SI-SDR and BSS Eval version 4, in dB.

    Vincent, Gribonval, Févotte, "Performance measurement in blind audio source separation",
        IEEE TASLP 14(4), 2006: the decomposition behind BSS Eval.
    Vincent, Sawada, Bofill, Makino, Rosca, "First stereo audio source separation evaluation
        campaign", ICA 2007: its form for multichannel images, with ISR.
    Stöter, Liutkus, Ito, "The 2018 signal separation evaluation campaign", LVA/ICA 2018:
        version 4, one set of distortion filters for the whole track.
    Le Roux, Wisdom, Erdogan, Hershey, "SDR - half-baked or well done?", ICASSP 2019: SI-SDR.
    Mitsufuji et al., "Music Demixing Challenge 2021", Frontiers in Signal Processing 1, 2022:
        SDR as one number for a song.

References and estimates are floating-point arrays at any scale, full scale usually 1.0; sums are
taken in float64 and block by block, so that no second copy of a track is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from separator.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32] | NDArray[np.float64]
    Scores = NDArray[np.float64]
    Spectra = NDArray[np.complex128]

SDR_EPSILON = 1e-7  # of the challenge's definition: a perfect stem scores high, not infinitely
FILTER_FRAMES = 512  # length of BSS Eval's distortion filters
CORRELATION_FRAMES = 1 << 15  # one transform of the correlations; the blocks overlap by a filter
SUM_FRAMES = 1 << 18
RIDGE = 1e-10  # relative to the mean power, for linearly dependent references


@dataclass(frozen=True)
class BssEval:
    """Scores of every stem in every window: (stems, windows) float64, dB; NaN where skipped.

    sdr_db: source to distortion ratio: the stem against the whole error.
    isr_db: image to spatial distortion ratio: errors explained by short filters of the stem itself.
    sir_db: source to interference ratio: errors explained by short filters of the other stems.
    sar_db: source to artifacts ratio: the remaining errors.
    """

    sdr_db: Scores
    isr_db: Scores
    sir_db: Scores
    sar_db: Scores

    def medians(self) -> dict[str, Scores]:
        """Field name -> (stems,): the median over scored windows; NaN without any."""
        fields = {name: getattr(self, name) for name in ("sdr_db", "isr_db", "sir_db", "sar_db")}
        return {name: _median(scores) for name, scores in fields.items()}


def sdr_db(reference: FloatArray, estimate: FloatArray) -> float:
    """Signal to distortion ratio over the whole signal and all channels, in dB.

    10 log10 of (energy of the reference + 1e-7) / (energy of the difference + 1e-7): Mitsufuji et
    al. 2022. Both arrays are (channels, frames) of one shape, else InputError.
    """
    _check_alike(reference, estimate)
    signal = noise = SDR_EPSILON
    for true, estimated in _blocks(reference, estimate):
        signal += _energy(true)
        noise += _energy(true - estimated)
    return float(10 * np.log10(signal / noise))


def si_sdr_db(reference: FloatArray, estimate: FloatArray) -> float:
    """Scale-invariant signal to distortion ratio, in dB: Le Roux et al. 2019.

    The reference is scaled, by one factor for all channels, to fit the estimate best. Means are
    kept, as in the paper. Both arrays are (channels, frames) of one shape, else InputError.
    Infinite for a perfect estimate up to its level; NaN for a silent reference or estimate.
    """
    _check_alike(reference, estimate)
    power = product = target = noise = 0.0
    for true, estimated in _blocks(reference, estimate):
        power += _energy(true)
        product += float(np.sum(true * estimated))
    scale = product / power if power else np.nan
    for true, estimated in _blocks(reference, estimate):
        target += _energy(scale * true)
        noise += _energy(scale * true - estimated)
    return float(_ratio_db(np.array(target), np.array(noise)))


def is_silent(stem: FloatArray) -> bool:
    """Whether BSS Eval treats the signal (channels, frames) as silent.

    As in museval: the sum of the channels is zero in every frame, which is also true for a stem
    with opposite channels.
    """
    return not stem.sum(axis=0).any()


def bss_eval(
    references: FloatArray,
    estimates: FloatArray,
    *,
    window_frames: int,
    hop_frames: int | None = None,
    filter_frames: int = FILTER_FRAMES,
) -> BssEval:
    """BSS Eval version 4, for stereo images, as museval computes it.

    The estimate of a stem is split into the true stem, what filters of it explain (spatial
    distortion), what filters of the other stems explain (interference) and the rest (artifacts).
    The filters are fitted to the whole track (version 4). A window in which any reference or
    estimate is silent counts for no stem; frames after the last whole window do not count.

    Args:
        references: the true stems, (stems, channels, frames); their sum is the mixture.
        estimates: the separated stems, same shape and order.
        window_frames: length of the windows, usually one second.
        hop_frames: distance of the windows; `window_frames` by default.
        filter_frames: length of the distortion filters.

    Returns:
        Scores of every stem in every window.

    Raises:
        InputError: shapes differ or lack an axis, a length is below 1, or a value is not finite.
    """
    hop = window_frames if hop_frames is None else hop_frames
    if min(window_frames, hop, filter_frames) < 1:
        raise InputError("window, hop and filter have at least one frame each")
    if references.ndim != 3 or not references.size:
        raise InputError(f"stems are an array (stems, channels, frames), not {references.shape}")
    _check_alike(references, estimates)
    filters = _Filters.fit(references, estimates, filter_frames)
    frames = references.shape[-1]
    count = (frames - window_frames) // hop + 1 if window_frames < frames else 1
    length = min(window_frames, frames)
    size = _transform_size(length + filter_frames - 1)
    response = filters.response(size)
    scores = np.full((4, len(references), count), np.nan)
    for index in range(count):
        window = slice(index * hop, index * hop + length)
        true, estimated = references[..., window], estimates[..., window]
        if not any(is_silent(stem) for stems in (true, estimated) for stem in stems):
            scores[..., index] = _score_window(true, estimated, response, size)
    return BssEval(*scores)


@dataclass(frozen=True)
class _Filters:
    """Least-squares distortion filters from the references to each channel of each estimate.

    own: (stems, channels in, channels out, taps), from the stem itself.
    all: (stems, channels in, stems, channels out, taps), from every stem.
    """

    own: Scores
    all: Scores

    @classmethod
    def fit(cls, references: FloatArray, estimates: FloatArray, taps: int) -> _Filters:
        """The filters that come closest to each estimate over the whole track."""
        stems, channels, frames = references.shape
        rows = stems * channels
        true, estimated = references.reshape(rows, frames), estimates.reshape(rows, frames)
        gram = _gram(_correlations(true, true, taps)).reshape(rows * taps, rows * taps)
        gram[np.diag_indices_from(gram)] += np.finfo(np.float64).eps  # as museval: for silence
        # What each delayed reference has in common with each estimate.
        target = _correlations(true, estimated, taps).swapaxes(1, 2).reshape(rows * taps, rows)
        every = _solve(gram, target).reshape(stems, channels, taps, stems, channels)
        own = np.empty((stems, channels, channels, taps))
        for stem in range(stems):
            mine = slice(stem * channels * taps, (stem + 1) * channels * taps)
            sought = target[mine, stem * channels : (stem + 1) * channels]
            fitted = _solve(gram[mine, mine], sought).reshape(channels, taps, channels)
            own[stem] = fitted.swapaxes(1, 2)
        return cls(own, np.moveaxis(every, 2, -1))

    def response(self, size: int) -> tuple[Spectra, Spectra]:
        """Both sets as spectra: the taps' axis becomes one of `size` // 2 + 1 bins."""
        return np.fft.rfft(self.own, size), np.fft.rfft(self.all, size)


def _score_window(
    true: FloatArray, estimated: FloatArray, response: tuple[Spectra, Spectra], size: int
) -> Scores:
    """SDR, ISR, SIR, SAR of one window: (4, stems).

    All parts are as long as a transform of `size` holds, so their energies are those of their
    spectra (Parseval) and nothing has to be transformed back.
    """
    own, every = response
    target = np.fft.rfft(true.astype(np.float64), size)
    estimate = np.fft.rfft(estimated.astype(np.float64), size)
    filtered = np.einsum("jcdf,jcf->jdf", own, target)
    explained = np.zeros_like(estimate)
    for stem, spectrum in enumerate(target):
        for channel, row in enumerate(spectrum):
            explained += every[stem, channel] * row
    whole = _spectral_energy(target, size)
    return np.stack(
        [
            _ratio_db(whole, _spectral_energy(estimate - target, size)),
            _ratio_db(whole, _spectral_energy(filtered - target, size)),
            _ratio_db(
                _spectral_energy(filtered, size), _spectral_energy(explained - filtered, size)
            ),
            _ratio_db(
                _spectral_energy(explained, size), _spectral_energy(estimate - explained, size)
            ),
        ]
    )


def _correlations(first: FloatArray, second: FloatArray, lags: int) -> Scores:
    """(A, frames), (B, frames) -> (A, B, lags): sums over n of first[a, n] second[b, n + lag].

    Block by block: a block of the first against the same stretch of the second, longer by the
    greatest lag, in a transform so long that no lag wraps around.
    """
    size = max(CORRELATION_FRAMES, _transform_size(4 * lags))
    step = size - lags + 1
    total = np.zeros((len(first), len(second), size // 2 + 1), np.complex128)
    for start in range(0, first.shape[-1], step):
        here = np.fft.rfft(first[:, start : start + step].astype(np.float64), size).conj()
        ahead = np.fft.rfft(second[:, start : start + size].astype(np.float64), size)
        for row, spectrum in enumerate(here):
            total[row] += spectrum * ahead
    return np.fft.irfft(total, size)[..., :lags]


def _gram(correlations: Scores) -> Scores:
    """(A, A, taps) -> (A, taps, A, taps): products of all references at all delays.

    A reference delayed by k against another delayed by m depends on k - m alone; for a negative
    difference the two change places.
    """
    rows, _, taps = correlations.shape
    difference = np.arange(taps)[:, None] - np.arange(taps)
    gram = np.empty((rows, taps, rows, taps))
    for a in range(rows):
        for b in range(rows):
            both = np.concatenate([correlations[b, a, :0:-1], correlations[a, b]])
            gram[a, :, b] = both[difference + taps - 1]
    return gram


def _solve(gram: Scores, target: Scores) -> Scores:
    """(n, n), (n, m) -> (n, m): least squares from the products of the references.

    For linearly dependent references, such as the two channels of a mono stem, the solution is not
    unique; a ridge then prefers small filters.
    """
    try:
        return np.asarray(np.linalg.solve(gram, target), np.float64)
    except np.linalg.LinAlgError:
        load = RIDGE * float(np.trace(gram)) / len(gram)
        loaded = gram + load * np.eye(len(gram))
        return np.asarray(np.linalg.solve(loaded, target), np.float64)


def _spectral_energy(spectrum: Spectra, size: int) -> Scores:
    """(stems, channels, bins) of real signals -> (stems,): their energy over all channels."""
    power = (spectrum.real**2 + spectrum.imag**2).sum(axis=1)
    once = power[:, 0] + (power[:, -1] if size % 2 == 0 else 0.0)
    total: Scores = (2 * power.sum(axis=-1) - once) / size
    return total


def _transform_size(least: int) -> int:
    """The next even number without prime factors above 5: fast for any FFT."""
    size = least + least % 2
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 2


def _ratio_db(signal: Scores, noise: Scores) -> Scores:
    """10 log10, infinite where there is no noise; NaN where there is neither."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Scores = 10 * np.log10(signal / noise)
    return ratio


def _median(scores: Scores) -> Scores:
    """(stems, windows) -> (stems,), NaN left out."""
    counted = [row[~np.isnan(row)] for row in scores]
    return np.array([np.median(row) if row.size else np.nan for row in counted])


def _energy(signal: Scores) -> float:
    return float(np.sum(signal * signal))


def _blocks(*signals: FloatArray) -> Iterator[tuple[Scores, ...]]:
    for start in range(0, signals[0].shape[-1], SUM_FRAMES):
        yield tuple(s[..., start : start + SUM_FRAMES].astype(np.float64) for s in signals)


def _check_alike(reference: FloatArray, estimate: FloatArray) -> None:
    if reference.shape != estimate.shape:
        raise InputError(
            f"the true stem is {reference.shape}, its estimate {estimate.shape}: "
            "cut both to the same shape"
        )
    if not (np.isfinite(reference).all() and np.isfinite(estimate).all()):
        raise InputError("a stem holds NaN or infinite values and cannot be scored")
