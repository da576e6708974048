"""The error tree, printed once. Every error carries a stable code, a sentence and the next step.

    ArqonError
    ├── ConfigError      the operator's file, environment or arguments: fix and try again
    ├── UsageError       the command does not fit the state of the node: do something else first
    ├── NotRunning       no node answers on the control socket
    ├── NotFound         the thing named does not exist here
    ├── Denied           a policy, a role or a ticket says no
    ├── TimedOut         nothing came back in time
    ├── StorageError     a file of ours is corrupt, foreign, newer or unwritable
    ├── TrustError       a key, certificate, signature or ticket does not hold up
    └── PeerError        what a peer sent or did is wrong: weather, counted, never a crash
        └── DecodeError    bytes that are not what they claim to be

`code` is `room.reason` in lower case; scripts match it, the sentence stays free to improve.
`arqon explain CODE` reads `CATALOGUE`.
"""

from __future__ import annotations

from typing import ClassVar, Final


class ArqonError(Exception):
    """Base of all errors that we raise on purpose. `str()` is the sentence: lower case, no full stop."""

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, sentence: str, *, hint: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.hint = hint
        """The command or edit that helps, as one would type it; empty when there is none."""


class ConfigError(ArqonError):
    exit_code = 2


class UsageError(ArqonError):
    exit_code = 2


class NotRunning(ArqonError):
    exit_code = 3


class Denied(ArqonError):
    exit_code = 4


class NotFound(ArqonError):
    exit_code = 5


class TimedOut(ArqonError):
    exit_code = 6


class Degraded(ArqonError):
    exit_code = 7


class StorageError(ArqonError):
    pass


class TrustError(ArqonError):
    exit_code = 4


class PeerError(ArqonError):
    pass


class DecodeError(PeerError):
    pass


CATALOGUE: Final[dict[str, tuple[str, str]]] = {
    # code: (what it means, what to do)
    "config.cluster-name": (
        "A cluster name is used in certificates, policies and on screens, so it is kept to plain characters.",
        "Choose a name such as `factory` or `eu-west.prod` and run the command again.",
    ),
    "wire.oversized": (
        "A peer sent, or announced, more bytes than a message of that kind may have. The stream was given up.",
        "Nothing on this node. See `arqon peer show ID`: the peer runs other software, or means harm.",
    ),
    "wire.truncated": (
        "A message ended in the middle of a value.",
        "Nothing on this node; `arqon peer show ID` names the sender and counts the cases.",
    ),
    "wire.too-deep": (
        "A message nests arrays deeper than any of ours does.",
        "Nothing on this node; `arqon peer show ID` names the sender and counts the cases.",
    ),
    "wire.malformed": (
        "The bytes of a message are not CBOR.",
        "Nothing on this node; `arqon peer show ID` names the sender and counts the cases.",
    ),
    "wire.not-canonical": (
        "A message is CBOR but not the one deterministic encoding of its content, so signatures could differ.",
        "Nothing on this node; the sender's software does not encode as RFC 8949, 4.2 asks.",
    ),
    "wire.trailing": (
        "Bytes follow the end of a message.",
        "Nothing on this node; `arqon peer show ID` names the sender and counts the cases.",
    ),
    "wire.type": (
        "A message holds a kind of value that the mesh does not use: a float, a tag, a map key that is not text.",
        "Nothing on this node; `arqon peer show ID` names the sender and counts the cases.",
    ),
    "wire.schema": (
        "A message is well encoded, but its fields are not those of its type or out of their bounds.",
        "Compare `arqon version` on both nodes: fields differ between versions that do not fit together.",
    ),
    "wire.unknown-message": (
        "A message carries a tag that this version does not know.",
        "Compare `arqon version` on both nodes and update the older one.",
    ),
    # bus
    "bus.auth": (
        "The bus asks for a bearer token (bus.auth_token), and the client showed none or another one.",
        "Send `Authorization: Bearer TOKEN`, or `?token=TOKEN` in the URL; `arqon sub` takes --token.",
    ),
    "bus.channel-missing": (
        "The frame names no channel, and the client has no subscription that could be meant.",
        'Name one: {"type": "event", "channel": "telemetry:host", "payload": {"load": 0.5}}.',
    ),
    "bus.channel-name": (
        "A channel is ROOM:CHANNEL of letters, digits and . _ - @ / + ~ # =; only a subscription may end in `*`.",
        "Use a name such as `telemetry:host`; `room:*` takes a whole room.",
    ),
    "bus.channels-full": (
        "Every channel that bus.channels_max allows has members, so none can make room for another.",
        "Raise bus.channels_max in arqon.yaml, or find who makes so many with `list_channels`.",
    ),
    "bus.clients-max": (
        "As many clients are connected as bus.clients_max allows; the new one was closed with code 1013.",
        "Try again later, or raise bus.clients_max in arqon.yaml.",
    ),
    "bus.closed": ("The connection to the bus ended.", "Look with `arqon node status`; a client may connect again."),
    "bus.frame-too-large": (
        "The frame is larger than bus.frame_bytes_max.",
        "Send it in parts, or raise bus.frame_bytes_max in arqon.yaml.",
    ),
    "bus.invalid-field": (
        "The frame is JSON, but one of its fields has the wrong type or is out of bounds; `field` names it.",
        'See what fits: {"type": "help"}.',
    ),
    "bus.invalid-json": (
        "The frame is not JSON in UTF-8, or is nested too deeply.",
        'See what fits: {"type": "help"}.',
    ),
    "bus.no-such-channel": (
        "The channel does not exist on this node: nobody is in it and nothing was published.",
        'List them: {"type": "list_channels"}.',
    ),
    "bus.no-such-client": (
        "A private message names a client that is not connected to this node; the others got it.",
        'See who is there: {"type": "info", "channel": "ROOM:CHANNEL"}.',
    ),
    "bus.not-subscribed": (
        "The client is not in the channel that it leaves.",
        'Its subscriptions: {"type": "status"}.',
    ),
    "bus.payload-missing": ("The message has no payload.", "Add one; any JSON value will do."),
    "bus.rate-limited": (
        "The client sends more frames per second than bus.rate_per_s allows; the rest was dropped.",
        "Send more slowly, or raise bus.rate_per_s in arqon.yaml (0 is no limit).",
    ),
    "bus.subscriptions-full": (
        "One client may hold 256 subscriptions.",
        "Leave some, or subscribe to a whole room: `room:*`.",
    ),
    "bus.target-missing": ("A private message names nobody.", 'Add `to`: {"type": "private", "to": ["arq_..."]}.'),
    "bus.timeout": ("The bus did not answer in time.", "Check the address and `arqon node status`."),
    "bus.unknown-command": ("The bus does not know this command.", 'See them all: {"type": "help"}.'),
    "bus.unknown-type": ("A client may not send frames of this type.", 'See what fits: {"type": "help"}.'),
    "bus.unreachable": (
        "Nothing answers as a bus at this address.",
        "Check the address; `arqon node status` shows where the bus listens.",
    ),
    # control socket
    "api.already-running": (
        "Another process serves this node's control socket; one data directory is one node.",
        "Use that one (`arqon node status`), or end it with `arqon node stop`, or give another --data-dir.",
    ),
    "api.deadline": (
        "The node took the call and did not answer in time; it is overloaded or stuck.",
        "Look with `arqon node logs`; a stuck node is ended with `arqon node stop --force`.",
    ),
    "api.failed": ("The control call ended in a way this version does not know.", "Look with `arqon node logs`."),
    "api.internal": (
        "The node failed on a control call in a way nobody foresaw; its log has the whole trace.",
        "Look with `arqon node logs` and report it with that trace.",
    ),
    "api.join-request": ("A join needs a ticket or an address, not both.", "`arqon mesh join TICKET`"),
    "api.not-running": (
        "No process listens on the control socket of this data directory.",
        "Start it with `arqon node start`; check --data-dir, ARQON_DATA_DIR and --context.",
    ),
    "api.socket-bind": (
        "The control socket could not be made in the data directory.",
        "Check that the directory exists, is yours, and holds no other file under the socket's name.",
    ),
    "api.socket-path": (
        "The kernel holds at most 107 bytes of a Unix socket's path, and the data directory's path is longer.",
        "Choose a data directory with a shorter path.",
    ),
    "api.version": (
        "Command and node are of different versions, and the node does not know this call.",
        "Restart the node with the version of the command.",
    ),
}
