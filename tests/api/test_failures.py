"""An error reads the same on both ends of the control socket."""

from __future__ import annotations

import pytest

from arqonmesh import errors
from arqonmesh.api.client import NodeClient
from arqonmesh.api.failures import status_of
from arqonmesh.errors import ArqonError
from tests.api.fake import Broken, FakeNode

KINDS = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, ArqonError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_class_code_sentence_and_hint_cross_the_socket(
    client: NodeClient, node: FakeNode, kind: type[ArqonError]
) -> None:
    """The command's exit code and text are the node's, letters beyond ASCII included."""
    node.failure = kind("room.reason", "“hq” said nein – 3 × in 2 s; it needs ja", hint="arqon mesh status --überall")
    with pytest.raises(ArqonError) as caught:
        await client.mesh_status()
    assert type(caught.value) is kind
    assert caught.value.exit_code == kind.exit_code
    assert (caught.value.code, caught.value.sentence, caught.value.hint) == (
        "room.reason",
        node.failure.sentence,
        node.failure.hint,
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_has_a_grpc_status(kind: type[ArqonError]) -> None:
    """Clients in other languages branch on the status."""
    assert status_of(kind("room.reason", "x")).name != "OK"


async def test_a_kind_the_client_does_not_know_is_still_an_error_of_ours(client: NodeClient, node: FakeNode) -> None:
    """A newer node may have more classes than an older command."""
    node.failure = Broken("new.reason", "something new")
    with pytest.raises(ArqonError) as caught:
        await client.leave()
    assert (caught.value.code, caught.value.sentence) == ("new.reason", "something new")


async def test_a_very_long_sentence_is_cut_and_not_lost(client: NodeClient, node: FakeNode) -> None:
    """gRPC metadata is bounded; the error must arrive anyway."""
    node.failure = ArqonError("room.reason", "x" * 100_000, hint="y" * 100_000)
    with pytest.raises(ArqonError) as caught:
        await client.leave()
    assert caught.value.code == "room.reason"
    assert len(caught.value.sentence) == 1_000


async def test_an_error_in_the_watch_stream_arrives_as_itself(client: NodeClient, node: FakeNode) -> None:
    """Streams fail with the same errors as calls."""
    node.failure = errors.UsageError("mesh.none", "this node is in no mesh")
    with pytest.raises(errors.UsageError) as caught:
        async for _ in client.watch():
            pass
    assert caught.value.code == "mesh.none"
