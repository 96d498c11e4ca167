"""
What a compressed answer says, without unfolding more of it than is wanted.

Pure: bytes in, bytes out. Answers are asked for uncompressed; this is for servers, and proxies in between, that
compress all the same. What counts as an answer is narrow on purpose: one coding, one gzip member, nothing after its
end. Whatever else comes may be cut or tampered with, and a guess at it would be a claim about somebody's SMS.
"""

import zlib

from webcom_async._domain.errors import ReplyError

__all__ = ["decoded"]

_GZIP = 16 + zlib.MAX_WBITS
_ZLIB = zlib.MAX_WBITS
_BARE_DEFLATE = -zlib.MAX_WBITS
_DEFLATE_METHOD = 8  # RFC 1950, 2.2: the low four bits of the first byte
_HEADER_CHECK = 31  # RFC 1950, 2.2: the first two bytes are a multiple of it


def decoded(raw: bytes, coding: str, max_bytes: int) -> bytes:
    """
    Return what *raw* says.

    Args:
        raw: A whole body as it came.
        coding: Its `Content-Encoding`: `gzip`, `x-gzip`, `deflate` (RFC 9110, 8.4.1), `identity` or nothing.
        max_bytes: Bytes of the result, at most. One byte more is made to find out, and no further one.

    Raises:
        ReplyError: Another coding or several, more than *max_bytes*, or not exactly one whole compressed stream: cut,
            corrupt, or followed by anything, a second gzip member included.
    """
    name = coding.strip().lower()
    if name in ("", "identity"):
        return _within(raw, max_bytes)
    stream = zlib.decompressobj(_window(name, raw))
    try:
        body = _within(stream.decompress(raw, max_bytes + 1), max_bytes)
    except zlib.error as exc:
        raise ReplyError(f"the answer's {name} is corrupt: {exc}") from None
    if not stream.eof:
        raise ReplyError(f"the answer's {name} is cut short")
    if stream.unused_data:
        raise ReplyError(f"the answer goes on after the end of its {name}")
    return body


def _within(body: bytes, max_bytes: int) -> bytes:
    if len(body) > max_bytes:
        raise ReplyError(f"the answer is over {max_bytes} bytes")
    return body


def _window(name: str, raw: bytes) -> int:
    """Return zlib's window bits, which also name the format, for the coding *name*."""
    if name in ("gzip", "x-gzip"):
        return _GZIP
    if name == "deflate":
        # `deflate` is the zlib format, and yet some servers leave its header out.
        framed = raw[:1] and raw[0] % 16 == _DEFLATE_METHOD and int.from_bytes(raw[:2], "big") % _HEADER_CHECK == 0
        return _ZLIB if framed else _BARE_DEFLATE
    raise ReplyError(f"the answer is coded as {name!r}, which was not asked for")
