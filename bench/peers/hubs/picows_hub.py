"""A bare hub on picows: the most that the library under our bus can do, one write per message and client."""

from __future__ import annotations

import asyncio

from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

_clients: list[WSTransport] = []


class Client(WSListener):  # type: ignore[misc]  # an extension class
    def on_ws_connected(self, transport: WSTransport) -> None:
        _clients.append(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        _clients.remove(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            data = frame.get_payload_as_bytes()
            for client in _clients:
                if client is not transport:
                    client.send(WSMsgType.TEXT, data)


def client(request: WSUpgradeRequest) -> Client:
    return Client()


async def main() -> None:
    server = await ws_create_server(client, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
