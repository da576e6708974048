"""The table of endpoints."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable
from typing import Final

import msgspec

from arqonmesh.bridge.http.exchange import Answer, Endpoint, Given, Request, Response, answer, failure
from arqonmesh.bridge.http.messages import (
    Alive,
    ChannelMade,
    ChannelPath,
    Channels,
    ClientPath,
    Clients,
    ClientsQuery,
    Health,
    History,
    HistoryQuery,
    ListingQuery,
    NewChannel,
    Ready,
    Rooms,
    Status,
    Version,
)
from arqonmesh.bridge.http.sources import Frames, HttpSources
from arqonmesh.core.bus.identity import Identity

PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"


def endpoints(sources: HttpSources) -> tuple[Endpoint, ...]:
    """All of them, over these sources; the server adds `/` and `/openapi.json`, which tell of the others."""
    here = _Endpoints(sources)
    return (
        Endpoint(
            method="GET",
            path="/health",
            summary="How each component is",
            handler=here.health,
            answers={200: Health, 503: Health},
        ),
        Endpoint(
            method="GET",
            path="/livez",
            summary="Whether the event loop turns",
            handler=here.alive,
            answers={200: Alive},
        ),
        Endpoint(
            method="GET",
            path="/readyz",
            summary="Whether clients may be sent here",
            handler=here.ready,
            answers={200: Ready, 503: Ready},
        ),
        Endpoint(method="GET", path="/version", summary="Which version", handler=here.version, answers={200: Version}),
        Endpoint(
            method="GET",
            path="/metrics",
            summary="All figures, for Prometheus; per room and channel as far as the client may see them",
            handler=here.metrics,
            needs="anyone",
            answers={200: str},
            content_type=PROMETHEUS,
        ),
        Endpoint(
            method="GET",
            path="/status",
            summary="Node, mesh, bus, telemetry and the flight recorder; to others than operators what /health tells",
            handler=here.status,
            needs="anyone",
            answers={200: Status, 503: Health},
        ),
        Endpoint(
            method="GET",
            path="/rooms",
            summary="What happens in each room",
            handler=here.rooms,
            needs="client",
            query=ListingQuery,
            answers={200: Rooms},
            tag="bus",
        ),
        Endpoint(
            method="GET",
            path="/channels",
            summary="The channels of this node",
            handler=here.channels,
            needs="client",
            query=ListingQuery,
            answers={200: Channels},
            tag="bus",
        ),
        Endpoint(
            method="GET",
            path="/history",
            summary="The newest messages of a channel",
            handler=here.history,
            needs="client",
            query=HistoryQuery,
            answers={200: History},
            tag="bus",
        ),
        Endpoint(
            method="POST",
            path="/channels",
            summary="Make a channel that stays without members",
            handler=here.create,
            needs="admin",
            body=NewChannel,
            answers={200: ChannelMade, 201: ChannelMade},
            tag="administration",
        ),
        Endpoint(
            method="DELETE",
            path="/channels/{channel}",
            summary="Delete a channel and its history; its members are told",
            handler=here.delete,
            needs="admin",
            in_path=ChannelPath,
            answers={204: None, 404: None},
            tag="administration",
        ),
        Endpoint(
            method="GET",
            path="/clients",
            summary="Who is connected",
            handler=here.clients,
            needs="admin",
            query=ClientsQuery,
            answers={200: Clients},
            tag="administration",
        ),
        Endpoint(
            method="DELETE",
            path="/clients/{client}",
            summary="Close a client's connection",
            handler=here.disconnect,
            needs="admin",
            in_path=ClientPath,
            answers={204: None, 404: None},
            tag="administration",
        ),
    )


class _Endpoints:
    """Handlers: the second argument holds path parameters and query, or the body."""

    def __init__(self, sources: HttpSources) -> None:
        self._sources = sources

    def health(self, request: Request, given: Given) -> Answer:
        components = {name: dict(component) for name, component in self._sources.health().items()}
        unwell = [component for component in components.values() if not component.get("ok")]
        if any(component.get("critical", True) for component in unwell):
            return answer(503, Health("unhealthy", components))
        return answer(200, Health("degraded" if unwell else "healthy", components))

    def alive(self, request: Request, given: Given) -> Answer:
        return answer(200, Alive())

    def ready(self, request: Request, given: Given) -> Answer:
        ready = self._sources.ready()
        return answer(200 if ready else 503, Ready("ready" if ready else "not-ready"))

    def version(self, request: Request, given: Given) -> Answer:
        return answer(200, self._sources.version())

    def metrics(self, request: Request, given: Given) -> Answer:
        return Response(200, self._sources.metrics(_client(request)), PROMETHEUS)

    def status(self, request: Request, given: Given) -> Answer:
        told = self._sources.status(_client(request))
        return self.health(request, given) if told is None else answer(200, told)

    def rooms(self, request: Request, given: ListingQuery) -> Answer:
        return answer(200, self._sources.rooms(request.identity, given))

    def channels(self, request: Request, given: ListingQuery) -> Answer:
        return answer(200, self._sources.channels(request.identity, given))

    def history(self, request: Request, given: HistoryQuery) -> Answer:
        told = self._sources.history(request.identity, given)
        return _later(given, told) if inspect.isawaitable(told) else _history(given, told)

    def create(self, request: Request, given: NewChannel) -> Answer:
        name, new = self._sources.create_channel(request.identity, given.channel)
        return answer(201 if new else 200, ChannelMade(name, new))

    def delete(self, request: Request, given: ChannelPath) -> Answer:
        if self._sources.delete_channel(request.identity, given.channel):
            return Response(204)
        return failure(404, "bus.no-such-channel", f"there is no channel {given.channel[:160]!r}", "GET /channels")

    def clients(self, request: Request, given: ClientsQuery) -> Answer:
        return answer(200, self._sources.clients(request.identity, given))

    def disconnect(self, request: Request, given: ClientPath) -> Answer:
        if self._sources.disconnect(request.identity, given.client):
            return Response(204)
        return failure(404, "bus.no-such-client", f"no client {given.client[:64]!r} is connected here", "GET /clients")


def _client(request: Request) -> Identity | None:
    return request.identity if request.let_in else None


def _history(given: HistoryQuery, frames: Frames) -> Response:
    return answer(200, History(given.channel, len(frames), [msgspec.Raw(frame) for frame in frames]))


async def _later(given: HistoryQuery, frames: Awaitable[Frames]) -> Response:
    return _history(given, await frames)
