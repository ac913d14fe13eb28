"""The packed file: what is in it, and how it is read with care.

    "ARP1" | length of the header, 2 bytes | header: JSON, deflated | exceptions, deflated
    | payload | CRC-32 of all before, 4 bytes

A picture may need 40 bytes, so the header is deflated knowing what headers look like. Numbers are
little-endian. Lengths and counts are checked against limits and the file itself before memory is
taken or a model is asked for them.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from dataclasses import asdict, dataclass
from typing import Any

from playground.compression.arithmetic import TOTAL
from playground.errors import CompressionError

MAGIC = b"ARP1"
SUFFIX = ".arp"
MAX_FILE_BYTES = 64 * 2**20
MAX_HEADER_BYTES = 2**16  # inflated
USUAL = (
    b'"condition":"sample_rate":8000,"size":[28,28,1],"exceptions":{"modality":"audio","modality":"'
    b'image","modality":"text","model":"-char-gated-pixelcnn-wavenet-transformer","fingerprint":"'
    b'0123456789abcdef","count":,"crc":,"device":"cpu","exceptions":0,"payload":}'
)
MAX_TOKENS = 2**22
MODALITIES = ("text", "image", "audio")
NEXT_STEP = "Use the file as `compress` wrote it."


@dataclass(frozen=True)
class Header:
    """All that one must know to unpack, besides the model."""

    modality: str
    model: str  # its name, for people and to find it again
    fingerprint: str  # SHA-256 of its weights, configuration and tokenizer
    count: int  # tokens
    crc: int  # CRC-32 of what was packed: tells whether both sides computed the same numbers
    device: str = "cpu"  # kind of device that computed; others round differently
    condition: int | str | None = None
    sample_rate: int | None = None  # Hz, of sound
    size: tuple[int, int, int] | None = None  # height, width and channels of a picture
    exceptions: int = 0  # bytes of the deflated exceptions
    payload: int = 0  # bytes


def write(header: Header, exceptions: bytes, payload: bytes) -> bytes:
    """Return the file; `exceptions` and `payload` are as long as the header says."""
    told = {name: value for name, value in asdict(header).items() if value is not None}
    machine = zlib.compressobj(9, wbits=-zlib.MAX_WBITS, zdict=USUAL)
    packed = machine.compress(json.dumps(told, separators=(",", ":")).encode()) + machine.flush()
    body = MAGIC + struct.pack("<H", len(packed)) + packed + exceptions + payload
    return body + struct.pack("<I", zlib.crc32(body))


def read(data: bytes) -> tuple[Header, bytes, bytes]:
    """Return the header, the deflated exceptions and the payload of a file.

    Raises:
        CompressionError: it is no packed file, damaged, too large, or contradicts itself.
    """
    if len(data) > MAX_FILE_BYTES:
        raise CompressionError(
            f"The file has more than {MAX_FILE_BYTES >> 20} MB, which is the most that is unpacked."
        )
    if not data.startswith(MAGIC):
        raise CompressionError(
            f"This is no packed file: it does not begin with {MAGIC.decode()}. {NEXT_STEP}"
        )
    body, end = data[:-4], data[-4:]
    if len(data) < len(MAGIC) + 6 or struct.unpack("<I", end)[0] != zlib.crc32(body):
        raise CompressionError(
            f"The packed file of {len(data):,} bytes is damaged or cut short: its checksum does "
            f"not fit. {NEXT_STEP}"
        )
    start = len(MAGIC) + 2
    (length,) = struct.unpack("<H", body[len(MAGIC) : start])
    if length > len(body) - start:
        raise _wrong(f"its header is said to have {length:,} bytes")
    machine = zlib.decompressobj(-zlib.MAX_WBITS, zdict=USUAL)
    header = _header(inflate(body[start : start + length], MAX_HEADER_BYTES, machine))
    rest = body[start + length :]
    if header.exceptions + header.payload != len(rest):
        raise _wrong(
            f"{header.exceptions:,} and {header.payload:,} bytes are said to follow its header, "
            f"and {len(rest):,} do"
        )
    if header.count > MAX_TOKENS:
        raise _wrong(f"it claims {header.count:,} tokens; at most {MAX_TOKENS:,} are unpacked")
    return header, rest[: header.exceptions], rest[header.exceptions :]


def inflate(data: bytes, most: int, machine: Any = None) -> bytes:
    """Return what was deflated, `most` bytes of it at most.

    Raises:
        CompressionError: it is damaged or longer.
    """
    machine = machine or zlib.decompressobj()
    try:
        inflated = machine.decompress(data, most)
    except zlib.error as error:
        raise _wrong(f"a part of it cannot be inflated ({error})") from error
    if not machine.eof or machine.unused_data:
        raise _wrong(f"a part of it is cut short or inflates to more than {most:,} bytes")
    return inflated


def check_count(header: Header, alphabet: int) -> None:
    """Refuse a count of tokens that the payload cannot hold, before any is asked for.

    The likeliest of `alphabet` tokens leaves a part of TOTAL to each of the others, so it has a
    price too.

    Raises:
        CompressionError: it claims more.
    """
    least_bits = -math.log2(1 - (alphabet - 1) / TOTAL)
    if header.count * least_bits > 8 * header.payload + 16:  # the newest byte may be unwritten
        raise _wrong(
            f"it claims {header.count:,} tokens in {header.payload:,} bytes, which cannot be"
        )


def _header(data: bytes) -> Header:
    try:
        told = json.loads(data)
        size = told.pop("size", None)
        header = Header(**told, size=None if size is None else tuple(size))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _wrong(f"its header cannot be read ({str(error)[:100]})") from error
    texts = (header.modality, header.model, header.fingerprint, header.device)
    numbers = (header.count, header.crc, header.exceptions, header.payload)
    if (
        not all(isinstance(text, str) and len(text) <= 200 for text in texts)
        or not all(type(number) is int and 0 <= number < 2**32 for number in numbers)
        or header.modality not in MODALITIES
        or type(header.condition) not in (int, str, type(None))
        or type(header.sample_rate) not in (int, type(None))
    ):
        raise _wrong("its header holds values that cannot be")
    return header


def _wrong(what: str) -> CompressionError:
    return CompressionError(f"The packed file is damaged: {what}. {NEXT_STEP}")
