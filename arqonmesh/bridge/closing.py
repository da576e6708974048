"""How connections end: the codes and reasons that may be said, and how long there is to read them.

| what a client does                     | what happens                        | reason in `Dropped` |
|----------------------------------------|-------------------------------------|---------------------|
| stops reading                          | `bus.slow.policy`, else 1008        | slow-client         |
| sends a giant frame                    | 1009                                | frame-too-large     |
| sends bytes that are no WebSocket      | 1002                                | protocol-error      |
| sends a binary frame, or text as CBOR  | 1003                                | binary-frame, text- |
| sends text that is not UTF-8           | 1007                                | not-utf8            |
| takes an encoding that fails           | 1011                                | unencodable         |
| vanishes without closing               | 1011 when a ping stays unanswered   | half-open           |
| does not finish its handshake          | HTTP 408 after 5 s                  | handshake-slow      |
| is one of too many in their handshake  | HTTP 503 for the oldest             | handshakes-max      |
| has too many connections already       | HTTP 429                            | connections         |
| is turned away at its handshake        | HTTP 4xx, see handshake.py; a page: | auth, origin, ...   |
|                                        | 44xx, see refusing.py               |                     |
| speaks TLS                             | a TLS alert, see picows_server.py   | tls                 |
"""

from __future__ import annotations

from typing import Final

from picows import WSCloseCode

CLOSE_GRACE_S: Final = 2.0
"""How long a client has to read its close frame and answer it."""
SLOW_GRACE_S: Final = 20.0
"""The same for one that is cut off because it does not read: what is on its way to it comes before the frame."""
PICOWS_CLOSES: Final = {
    WSCloseCode.MESSAGE_TOO_BIG: "frame-too-large",
    WSCloseCode.PROTOCOL_ERROR: "protocol-error",
    WSCloseCode.INVALID_TEXT: "protocol-error",
}
"""What picows closes by itself, and the reason that is counted for it."""
_REASON_BYTES_MAX: Final = 123
_CODE_MIN: Final = 1_000
_NEVER_SENT: Final = (1_004, 1_005, 1_006, 1_015)
"""Close codes that only say something on the spot (RFC 6455, 7.4.1)."""


def may_be_sent(code: int) -> bool:
    """Whether a client may close with this code."""
    return code >= _CODE_MIN and code not in _NEVER_SENT


def fitting(reason: str) -> bytes:
    """A close reason that fits a control frame (RFC 6455, 5.5), cut between characters."""
    return reason.encode()[:_REASON_BYTES_MAX].decode(errors="ignore").encode()
