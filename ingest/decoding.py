"""From the bytes on the wire to the body: counted, and whole to its last byte."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from octavo.errors import InputError


class TransientError(Exception):
    """A failure that may pass: why, and how long the server asked us to wait."""

    def __init__(self, why: str, wait: float | None = None, *, unreachable: bool = False) -> None:
        super().__init__(why)
        self.wait = wait
        self.unreachable = unreachable


def decoded(chunks: Iterator[bytes], encoding: str, cap: int, what: str) -> bytes:
    """Undo gzip or deflate while counting, and insist on the end mark of the compressed stream.

    Raises InputError beyond `cap` bytes or for an encoding nobody asked for,
    TransientError where the stream ends early or is damaged.
    """
    if encoding.strip().lower() in ("", "identity"):
        return _collect(chunks, cap, what)
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        raise InputError(f"{what}: content encoding {encoding!r}; allowed are gzip and deflate")
    return _collect(_inflated(chunks, cap), cap, what)


def _inflated(chunks: Iterator[bytes], cap: int) -> Iterator[bytes]:
    stream = zlib.decompressobj(wbits=47)  # 32 + 15: reads the gzip and the zlib header alike
    try:
        for chunk in chunks:
            if stream.eof:  # a second member after the first is legal in gzip
                stream = zlib.decompressobj(wbits=47)
            yield stream.decompress(chunk, cap + 1)
            while stream.unconsumed_tail or (stream.eof and stream.unused_data):
                rest = stream.unconsumed_tail or stream.unused_data
                if stream.eof:
                    stream = zlib.decompressobj(wbits=47)
                yield stream.decompress(rest, cap + 1)
    except zlib.error as error:
        raise TransientError(f"the compressed body is damaged ({error})") from None
    if not stream.eof:
        raise TransientError("the compressed body ends early")


def _collect(chunks: Iterator[bytes], cap: int, what: str) -> bytes:
    held = bytearray()
    for chunk in chunks:
        held += chunk
        if len(held) > cap:
            raise InputError(f"{what}: larger than {cap} bytes once decoded; refused")
    return bytes(held)
