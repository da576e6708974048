"""`arqon pub`, `sub` and `tail`: clients of the node's bus, over its WebSocket like everybody else."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from arqonmesh.errors import ArqonError, PeerError, TimedOut, UsageError
from arqonmesh.observe.printable import printable
from arqonmesh_cli.answer import Answer, noun, verb
from arqonmesh_cli.connect import answer_of, look_whether_stopped
from arqonmesh_cli.durations import parse_duration, show_duration
from arqonmesh_cli.options import Context, DataDir, Json
from arqonmesh_cli.screen import tell_person, tell_terminal
from arqonmesh_cli.tenant import check_tenant, in_tenant
from arqonmesh_cli.where import Place, place_of

if TYPE_CHECKING:
    from arqonmesh.client import BusClient, Message, Resumed
    from arqonmesh.client.session import State
    from arqonmesh.client.token import TokenSource

app = noun("The bus.")

LINE_BYTES_MAX: Final = 256 << 10
"""The longest line that `pub -` takes for a bus that does not say what it takes."""
CHUNK_BYTES: Final = 64 << 10

Channel = Annotated[str, typer.Argument(metavar="ROOM:CHANNEL", help="Such as telemetry:host.")]
Url = Annotated[
    str | None,
    typer.Option("--url", metavar="WS_URL", help="A bus elsewhere, instead of this node's.", show_default=False),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="ARQON_BUS_TOKEN",
        metavar="TOKEN",
        help="Bearer token; by default the one in the node's arqon.yaml.",
        show_default=False,
    ),
]
Tenant = Annotated[
    str,
    typer.Option(
        "--tenant", metavar="NAME", help="On the bus of this tenant, as /t/NAME in the URL.", show_default=False
    ),
]
Count = Annotated[int | None, typer.Option("--count", min=1, help="End after so many messages.", show_default=False)]
Within = Annotated[
    str | None,
    typer.Option(
        "--timeout",
        metavar="TIME",
        help="End after this time; with --count, an error when fewer came.",
        show_default=False,
    ),
]
Reconnect = Annotated[bool, typer.Option("--reconnect", help="When the node goes away, wait for it to come back.")]


@verb(
    app,
    "pub",
    "arqon pub telemetry:host '{\"load\": 0.4}'",
    "arqon pub chat:lobby 'hello there'",
    "tail -f /var/log/syslog | arqon pub logs:web -",
)
def pub(
    channel: Channel,
    text: Annotated[
        str,
        typer.Argument(metavar="TEXT|-", help='A JSON object, or text to be sent as {"text": ...}; - sends each line.'),
    ],
    url: Url = None,
    token: Token = None,
    tenant: Tenant = "",
    data_dir: DataDir = None,
    context: Context = None,
    as_json: Json = False,
) -> Answer:
    """Publish a message, or each line of standard input; returns when the bus has taken them all."""
    _check_named(channel, "arqon pub telemetry:host '{\"load\": 0.4}'")

    async def publish() -> tuple[int, str]:
        async with await _connect(url, token, tenant, data_dir, context, reconnect=False) as bus:
            return await _publish(bus, channel, text)

    published, full = asyncio.run(publish())
    said = f"{published} message{'' if published == 1 else 's'} published on {full}"
    return Answer({"channel": full, "published": published}, lambda screen: screen.line(said))


@verb(
    app,
    "sub",
    "arqon sub telemetry:host",
    "arqon sub 'telemetry:*' --json | jq .data.payload",
    "arqon sub telemetry:host --context hq --count 1 --timeout 5s",
)
def sub(
    channel: Annotated[str, typer.Argument(metavar="ROOM:CHANNEL", help="A channel, ROOM:* or *.")],
    count: Count = None,
    timeout: Within = None,
    reconnect: Reconnect = False,
    url: Url = None,
    token: Token = None,
    tenant: Tenant = "",
    data_dir: DataDir = None,
    context: Context = None,
    as_json: Json = False,
) -> None:
    """Print what is published on a channel, a line each, until Ctrl-C. With --json, one JSON answer per line."""
    _check_named(channel, "arqon sub telemetry:host")
    _listen(channel, count, timeout, reconnect, url, token, tenant, data_dir, context, as_json)


@verb(app, "tail", "arqon tail", "arqon tail --context factory --json")
def tail(
    count: Count = None,
    timeout: Within = None,
    reconnect: Reconnect = False,
    url: Url = None,
    token: Token = None,
    tenant: Tenant = "",
    data_dir: DataDir = None,
    context: Context = None,
    as_json: Json = False,
) -> None:
    """Print everything that passes on this node's bus, until Ctrl-C."""
    _listen("*", count, timeout, reconnect, url, token, tenant, data_dir, context, as_json)


def _check_named(channel: str, example: str) -> None:
    if not channel.strip():
        raise UsageError("bus.channel-name", f"{channel!r} names no channel; it needs to be ROOM:CHANNEL", hint=example)


def payload_of(text: str) -> bytes:
    """The JSON that stands for a line of text: itself when it is a JSON object, else {"text": ...}."""
    import msgspec

    text.encode()  # what the shell passed may be no text at all: the command line is told so
    stripped = text.strip()
    if stripped.startswith("{"):
        try:
            msgspec.json.decode(stripped)
        except msgspec.DecodeError:
            pass
        else:
            return stripped.encode()
    return msgspec.json.encode({"text": text})


def message_line(message: Message) -> str:
    """One line for a person; control characters of the payload are shown, not obeyed."""
    at = message.timestamp[11:19] or "-"
    line = f"{at} {message.channel or message.type} {message.from_ or '-'} {bytes(message.payload_).decode()}"
    return printable(line)


def json_line(frame: bytes) -> bytes:
    """One JSON answer on one line. The payload is as its publisher wrote it, line ends between its tokens included."""
    return b'{"v":1,"ok":true,"data":' + frame.replace(b"\n", b" ").replace(b"\r", b" ") + b"}\n"


async def _connect(
    url: str | None, token: str | None, tenant: str, data_dir: Any, context: str | None, **how: Any
) -> BusClient:
    from arqonmesh.client import BusClient

    if tenant:
        check_tenant(tenant)
    shown: TokenSource = token
    if url is None:
        place = place_of(data_dir, context)
        url = (await answer_of(place, lambda node: node.node_status())).bus
        if not token and place.bus_token(tenant):  # what is wrong with the settings is said here
            shown = partial(place.bus_token, tenant)  # a node that was started again asks for a new one
    return await BusClient.connect(in_tenant(url, tenant), shown, **how)


async def _publish(bus: BusClient, channel: str, text: str) -> tuple[int, str]:
    """How many messages were published, and on which channel by its full name."""
    refusals: list[ArqonError] = []
    refusal = asyncio.Event()
    refused = asyncio.ensure_future(_collect_refusals(bus, refusals, refusal))
    published = 0
    try:
        if text == "-":
            async for line in _stdin_lines(bus.frame_bytes_max or LINE_BYTES_MAX):
                await _publish_line(bus, channel, line, published + 1)
                published += 1
                if refusals:
                    break
        else:
            await bus.publish_raw(channel, payload_of(text))
            published = 1
        await _flushed(bus, refusal)
        full = channel if ":" in channel or refusals else await _full_name(bus, channel)
    finally:
        await bus.close()
        await refused
    if refusals:
        raise refusals[0]
    return published, full


async def _full_name(bus: BusClient, channel: str) -> str:
    """What the bus made of a name without a room, which depends on its settings; as typed where it does not tell."""
    from arqonmesh.client.message import object_of

    try:
        told = object_of(await bus.command("channel_info", channel=channel, limit=1)).get("channel")
    except ArqonError:  # who may publish there need not be told of it
        return channel
    return str(told.get("id", channel)) if isinstance(told, dict) else channel


async def _publish_line(bus: BusClient, channel: str, line: bytes, number: int) -> None:
    try:
        text = line.decode()
    except UnicodeDecodeError as wrong:
        raise UsageError(
            "cli.not-text",
            f"line {number} of standard input is not UTF-8 (byte {line[wrong.start]:#04x} at {wrong.start + 1}); it "
            f"needs to be text{_sent_before(number)}",
            hint=f"iconv -f ISO-8859-1 -t UTF-8 FILE | arqon pub {channel} -",
        ) from None
    try:
        await bus.publish_raw(channel, payload_of(text))
    except UsageError as error:
        if error.code == "bus.frame-too-large":
            raise _too_long(number, error.sentence, bus.frame_bytes_max) from None
        raise


def _too_long(number: int, why: str, bytes_max: int) -> UsageError:
    return UsageError(
        "cli.line-too-long",
        f"line {number} of standard input is too long: {why}{_sent_before(number)}",
        hint=f"fold -w {bytes_max // 2} FILE | arqon pub ROOM:CHANNEL -    # or raise bus.frame_bytes_max",
    )


def _sent_before(number: int) -> str:
    """What became of the rest."""
    return "" if number == 1 else f"; the {number - 1} before it {'was' if number == 2 else 'were'} sent"


async def _flushed(bus: BusClient, refusal: asyncio.Event) -> None:
    """Until the bus has taken everything, or refused something: then the question may have been dropped, too."""
    waits = {asyncio.ensure_future(bus.flush()), asyncio.ensure_future(refusal.wait())}
    done, left = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    for task in done:
        task.result()


async def _collect_refusals(bus: BusClient, refusals: list[ArqonError], refusal: asyncio.Event) -> None:
    """The bus answers a frame only when it refuses it; the first refusal is kept."""
    try:
        async for message in bus.messages(all_types=True):
            if message.type == "error" and not refusals:
                told = message.payload if isinstance(message.payload, dict) else {}
                code, sentence = str(told.get("code", "bus.refused")), str(told.get("message", "the bus refused it"))
                refusals.append(PeerError(code, sentence, hint=str(told.get("hint", ""))))
                refusal.set()
    except ArqonError as lost:
        refusals.append(lost)


def _listen(
    channel: str,
    count: int | None,
    timeout: str | None,
    reconnect: bool,
    url: str | None,
    token: str | None,
    tenant: str,
    data_dir: Any,
    context: str | None,
    as_json: bool,
) -> None:
    patience_s = None if timeout is None else parse_duration(timeout, "--timeout 10s")
    seen = 0
    joined, lost = False, ""

    async def listen() -> None:
        nonlocal seen, joined, lost
        connected = await _connect(url, token, tenant, data_dir, context, reconnect=reconnect)
        async with connected:
            if not as_json:
                connected.on_state(_Outages(connected.url).told)
            connected.on_resume(_tell_gap)
            await _join(connected, channel)
            joined = True
            tell_terminal(f"listening on {channel} at {connected.url}; Ctrl-C ends it")
            try:
                async for message in connected.messages():
                    if as_json:
                        sys.stdout.buffer.write(json_line(message.raw))
                    else:
                        sys.stdout.buffer.write(message_line(message).encode() + b"\n")
                    sys.stdout.buffer.flush()
                    seen += 1
                    if seen == count:
                        return
            finally:
                lost = "" if connected.state == "connected" else connected.url

    async def bounded() -> None:
        async with asyncio.timeout(patience_s):
            await listen()

    try:
        asyncio.run(bounded())
    except TimeoutError:
        waited = show_duration(patience_s or 0.0)
        if not joined:
            raise _never_connected(waited, url or place_of(data_dir, context)) from None
        if count is not None:
            raise TimedOut(
                "cli.sub-timeout",
                f"{seen} messages on {channel} in {waited}; {count} were asked for"
                + (f", and {lost} is not reachable" if lost else ""),
                hint="arqon node status" if lost else "arqon policy show",
            ) from None
    except KeyboardInterrupt:
        return  # the way to end it


async def _join(bus: BusClient, channel: str) -> None:
    try:
        await bus.join(channel)
    except ArqonError as error:
        if error.code == "bus.no-such-channel":  # only the mesh's own room refuses a name so
            error.hint = "arqon sub '$mesh:state'"
        raise


def _never_connected(waited: str, where: str | Place) -> TimedOut:
    """What is said when the time was up before anything could be heard."""
    hint = "arqon node status    # says where a node's bus is"
    if isinstance(where, Place):
        try:
            look_whether_stopped(where)
        except TimedOut as stopped:
            return stopped
        hint = f"arqon node status {where.option}"
        where = f"the node in {where.data_dir}"
    return TimedOut(
        "bus.timeout",
        f"not connected within {waited}: {where} did not answer; it needs to be less busy, or --timeout to be longer",
        hint=hint,
    )


class _Outages:
    """Tells a person at a terminal when the node goes, and when it is back."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._gone_at_s: float | None = None

    def told(self, state: State) -> None:
        if state == "reconnecting":
            self._gone_at_s = time.monotonic()
            tell_terminal(f"{self._url} is gone; waiting for it to come back, Ctrl-C ends it")
        elif state == "connected" and self._gone_at_s is not None:
            away_s, self._gone_at_s = time.monotonic() - self._gone_at_s, None
            tell_terminal(f"{self._url} is back after {show_duration(away_s)}")


def _tell_gap(resumed: Resumed) -> None:
    """What is missing although the bus was asked for it, whoever reads the messages."""
    if resumed.recovered is not False:
        return
    counted = sum(gap.last - gap.first + 1 for gap in resumed.gaps if gap.last is not None)
    parts = [f"{counted} that nobody has any more"] if counted else []
    if any(gap.last is None for gap in resumed.gaps):
        parts.append("maybe some that nobody knows of")
    if not resumed.gaps:
        parts.append("maybe some that could not be asked for")
    tell_person(f"gap on {resumed.channel}: of the messages that came meanwhile, missing are {' and '.join(parts)}")


async def _stdin_lines(bytes_max: int) -> AsyncIterator[bytes]:
    """Lines of standard input as they come, read by a thread because a file cannot be awaited; one chunk ahead."""
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes] = asyncio.Queue(1)

    def read() -> None:
        try:
            while True:
                chunk = os.read(0, CHUNK_BYTES)
                asyncio.run_coroutine_threadsafe(chunks.put(chunk), loop).result()
                if not chunk:
                    return
        except (OSError, RuntimeError):
            return  # the loop is gone: so is the reader of this

    threading.Thread(target=read, daemon=True, name="stdin").start()
    rest, count = b"", 0
    while chunk := await chunks.get():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
        count += len(lines)
        if len(rest) > bytes_max:
            raise _too_long(
                count + 1, f"more than {bytes_max} bytes, which is all that one message may have", bytes_max
            )
    if rest:
        yield rest
