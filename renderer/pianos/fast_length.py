"""Lengths of which a Fourier transform is fast."""


def fast_length(samples: int) -> int:
    """The next even length of which a Fourier transform is fast: 2, 3 or 5 times a power of two."""
    power = 1 << (samples - 1).bit_length()
    return min(length for length in (power, power // 8 * 5, power // 4 * 3) if length >= samples)
