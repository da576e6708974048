"""The endpoints as OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.0), from the types that are checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from arqonmesh.bridge.http.exchange import Endpoint
from arqonmesh.bridge.http.messages import Failure, Nothing

_WORDS: Final = {
    200: "OK",
    201: "Made",
    204: "Done; no body",
    400: "The request cannot be read, or a parameter does not fit",
    401: "No token, or one that is not valid",
    403: "The token's role may not do that",
    404: "There is no such thing",
    413: "The body is too large",
    415: "The body is not JSON",
    431: "The request's head is over 8 KiB",
    503: "Not well, or too many connections",
}
_REFERENCE: Final = "#/components/schemas/{name}"


def describe(endpoints: Sequence[Endpoint], version: str) -> dict[str, Any]:
    """The whole document."""
    types = dict.fromkeys(_types(endpoints))
    _, components = msgspec.json.schema_components(list(types), ref_template=_REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ArqonMesh node",
            "version": version,
            "description": "Health, figures and administration of one node.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(endpoint.tag for endpoint in endpoints)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _types(endpoints: Sequence[Endpoint]) -> list[type]:
    found: list[type] = [Failure]
    for endpoint in endpoints:
        found += [kind for kind in endpoint.answers.values() if kind not in (None, str)]
        if endpoint.body is not None:
            found.append(endpoint.body)
    return found


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": f"{endpoint.method.lower()}{''.join(_word(part) for part in endpoint.path.split('/'))}",
        "tags": [endpoint.tag],
        "parameters": [*_parameters(endpoint.in_path, "path"), *_parameters(endpoint.query, "query")],
        "responses": _responses(endpoint),
    }
    if endpoint.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": _REFERENCE.format(name=endpoint.body.__name__)}}},
        }
    if endpoint.needs != "nobody":
        operation["security"] = [{"bearer": []}, {"apiKey": []}]
        if endpoint.needs != "admin":
            operation["security"].append({})  # where the bus lets anonymous clients in, or to be told less
    return operation


def _parameters(kind: type, where: str) -> list[dict[str, Any]]:
    if kind is Nothing:
        return []
    schema = msgspec.json.schema(kind)["$defs"][kind.__name__]
    required = schema.get("required", [])
    told = []
    for name, described in schema["properties"].items():
        parameter = {"name": name, "in": where, "required": name in required, "schema": described}
        if "description" in described:
            parameter["description"] = described["description"]
        told.append(parameter)
    return told


def _responses(endpoint: Endpoint) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for status, kind in endpoint.answers.items():
        told[str(status)] = _response(status, kind, endpoint.content_type)
    failures = {400}
    if endpoint.needs != "nobody":
        failures |= {401, 403}
    if endpoint.body is not None:
        failures |= {413, 415}
    if endpoint.query is not Nothing or endpoint.in_path is not Nothing:
        failures.add(431)
    if any(status >= 400 and kind is None for status, kind in endpoint.answers.items()):
        failures |= {status for status in endpoint.answers if status >= 400}
    for status in sorted(failures):
        told[str(status)] = _response(status, Failure, "application/json")
    return dict(sorted(told.items()))


def _response(status: int, kind: type | None, content_type: str) -> dict[str, Any]:
    described: dict[str, Any] = {"description": _WORDS[status]}
    if kind is not None:
        schema = {"type": "string"} if kind is str else {"$ref": _REFERENCE.format(name=kind.__name__)}
        described["content"] = {content_type: {"schema": schema}}
    return described


def _word(part: str) -> str:
    return part.strip("{}").capitalize()
