"""An arithmetic coder over whole numbers: symbols of known frequency to bytes, and back exactly.

A message is a subinterval of [0, 1): every symbol narrows it in proportion to its frequency, and
any number inside of the last interval tells the whole message (Witten, Neal & Cleary 1987,
"Arithmetic coding for data compression"). The interval is kept as a whole number `low` and a
width of 64 bits of which whole bytes are shifted out, as in range coding (Martin 1979, "Range
encoding"). A carry out of `low` goes into the bytes that were written before.

Frequencies of a symbol add up to 2**TOTAL_BITS. The width is at least 2**56 when it is divided by
that, so that rounding costs less than 2**-32 of a bit a symbol; the end costs one byte or two.
"""

from __future__ import annotations

TOTAL_BITS = 24
TOTAL = 1 << TOTAL_BITS  # of the frequencies of all symbols that could come next

_WIDTH_BITS = 64
_WIDTH_BYTES = _WIDTH_BITS // 8
_WHOLE = 1 << _WIDTH_BITS
_NARROW = 1 << (_WIDTH_BITS - 8)  # a width below this has a byte to shift out
_LOW_MASK = _WHOLE - 1
_KEPT_MASK = _NARROW - 1


class Encoder:
    """Writes symbols, each told as the part [start, start + size) of TOTAL that is its own."""

    def __init__(self):
        self._low, self._width = 0, _LOW_MASK
        self._written = bytearray()

    def write(self, start: int, size: int) -> None:
        """Write the symbol whose part of TOTAL begins at `start` and is `size` wide.

        Raises:
            ValueError: that is no part of TOTAL; a symbol of size 0 cannot be told.
        """
        if not (size > 0 and 0 <= start <= TOTAL - size):
            raise ValueError(f"[{start}, {start} + {size}) is no part of [0, {TOTAL})")
        unit = self._width >> TOTAL_BITS
        low, width = self._low + start * unit, size * unit
        if low >= _WHOLE:
            low &= _LOW_MASK
            self._carry()
        while width < _NARROW:
            self._written.append(low >> (_WIDTH_BITS - 8))
            low = (low & _KEPT_MASK) << 8
            width <<= 8
        self._low, self._width = low, width

    def finish(self) -> bytes:
        """Return all bytes; a reader sees zeros behind them, so the end takes one or two."""
        last = self._low + self._width - 1
        for kept in range(_WIDTH_BYTES + 1):  # the roundest number inside of the interval
            rest = _WIDTH_BITS - 8 * kept
            number = last >> rest << rest
            if number >= self._low:
                break
        if number >= _WHOLE:
            number &= _LOW_MASK
            self._carry()
        return bytes(self._written) + number.to_bytes(_WIDTH_BYTES, "big")[:kept]

    def _carry(self) -> None:
        """Add one to the number written so far; each byte overflows at most once in its life."""
        index = len(self._written) - 1
        while self._written[index] == 255:
            self._written[index] = 0
            index -= 1
        self._written[index] += 1


class Decoder:
    """Reads what an Encoder wrote, told the same frequencies in the same order.

    Any bytes can be read: damaged ones give other symbols, never an error.
    """

    def __init__(self, written: bytes):
        self._bytes = written
        self._place = _WIDTH_BYTES
        self._width = _LOW_MASK
        # Distance of the number from the low end of the interval.
        self._above = int.from_bytes(written[:_WIDTH_BYTES].ljust(_WIDTH_BYTES, b"\0"), "big")

    def target(self) -> int:
        """Return a number below TOTAL: the next symbol is the one whose part holds it."""
        return min(self._above // (self._width >> TOTAL_BITS), TOTAL - 1)

    def read(self, start: int, size: int) -> None:
        """Go on behind the symbol whose part of TOTAL is [start, start + size)."""
        unit = self._width >> TOTAL_BITS
        width = size * unit
        above = min(self._above - start * unit, width - 1)  # it is less, but in damaged bytes
        while width < _NARROW:
            byte = self._bytes[self._place] if self._place < len(self._bytes) else 0
            above, width = above << 8 | byte, width << 8
            self._place += 1
        self._above, self._width = above, width
