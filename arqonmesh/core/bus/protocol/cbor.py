"""The envelope as CBOR (RFC 8949), for clients that agreed on `arqon.v1.cbor`; inside the bus it is JSON.

| CBOR                                    | JSON                                                      |
|-----------------------------------------|-----------------------------------------------------------|
| byte string                             | text: its base64 (RFC 4648, 4); it stays text on the way out |
| NaN, infinities                         | null (RFC 8949, 6.1)                                      |
| a map key that is not text, a tag, undefined, another simple value | refused                        |
| an integer outside -2^63 to 2^64 - 1    | refused; on the way out a bignum (tags 2 and 3)           |
| infinities, on the way out              | a number too large for a float, or of more than 4,300 digits |

A hostile frame is bounded: by `bus.frame_bytes_max` before it is read and again as JSON, by `DEPTH_MAX`, and no tag is
taken, because tags are what makes much of little (shared references, string references, decimals).
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any, Final

import cbor2
import msgspec

from arqonmesh.core.bus.protocol.fields import DEPTH_MAX
from arqonmesh.core.bus.protocol.inbound import HELP
from arqonmesh.core.bus.refusal import Refusal, too_large
from arqonmesh.errors import DecodeError
from arqonmesh.wire.cbor import EVERY_TAG_REFUSED

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


def to_json(frame: bytes, bytes_max: int) -> bytes:
    """A client's CBOR frame as JSON of at most `bytes_max`. Raises Refusal and nothing else."""
    source = io.BytesIO(frame)
    decoder = cbor2.CBORDecoder(
        source,
        max_depth=DEPTH_MAX,
        allow_duplicate_keys=False,
        object_hook=_text_keys_only,
        semantic_decoders=EVERY_TAG_REFUSED,
    )
    try:
        made = _encode(decoder.decode())
    except (cbor2.CBORError, DecodeError, ValueError, TypeError, OverflowError, MemoryError, RecursionError) as wrong:
        raise _refusal(f"the frame is not CBOR that this bus takes: {_sentence(wrong)}"[:200]) from None
    if source.tell() != len(frame):
        raise _refusal(f"{len(frame) - source.tell()} bytes follow the CBOR value; a frame is one value")
    if len(made) > bytes_max:
        raise too_large(len(made), bytes_max)
    return made


def from_json(frame: bytes) -> bytes:
    """A frame of the bus as CBOR. Every frame that the bus takes can be said so."""
    try:
        value = _decode(frame)
    except ValueError:  # numbers that msgspec does not read, such as 1e999 or one of 5,000 digits
        value = json.loads(frame, parse_int=_number)
    return cbor2.dumps(value)


def _number(digits: str) -> int | float:
    """Python reads no integer of more digits than `sys.get_int_max_str_digits()`; as a float it is infinite."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


def _text_keys_only(pairs: Mapping[Any, Any], immutable: bool = False) -> Mapping[Any, Any]:
    for key in pairs:
        if type(key) is not str:
            raise ValueError(f"a map key is {key!r}; keys need to be text"[:160])
    return pairs


def _sentence(wrong: Exception) -> str:
    return str(wrong.__cause__ or wrong) or type(wrong).__name__


def _refusal(sentence: str) -> Refusal:
    return Refusal("bus.invalid-cbor", sentence, hint=HELP)
