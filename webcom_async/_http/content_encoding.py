"""
Decode a compressed answer, up to a size.

Pure: bytes in, bytes out. Requests ask for uncompressed answers; some servers and proxies compress all the same. The
accepted form is narrow on purpose: one coding, one gzip member, nothing after its end. Anything else may be cut or
tampered with, and a guess would be a claim about a recipient's SMS.
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
    Return the decoded body of an answer.

    Args:
        raw: The whole body as it arrived.
        coding: Its `Content-Encoding`: `gzip`, `x-gzip`, `deflate` (RFC 9110, 8.4.1), `identity` or nothing.
        max_bytes: The maximum size of the result. At most one byte more is decoded.

    Raises:
        ReplyError: The coding is another one, the result is too large, or *raw* is not exactly one whole compressed
            stream.
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
        raise ReplyError(f"the answer has bytes after the end of its {name}")
    return body


def _within(body: bytes, max_bytes: int) -> bytes:
    if len(body) > max_bytes:
        raise ReplyError(f"the answer is over {max_bytes} bytes")
    return body


def _window(name: str, raw: bytes) -> int:
    if name in ("gzip", "x-gzip"):
        return _GZIP
    if name == "deflate":
        # `deflate` means the zlib format, but some servers omit its header.
        framed = raw[:1] and raw[0] % 16 == _DEFLATE_METHOD and int.from_bytes(raw[:2], "big") % _HEADER_CHECK == 0
        return _ZLIB if framed else _BARE_DEFLATE
    raise ReplyError(f"the answer is coded as {name!r}, which was not asked for")
