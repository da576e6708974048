"""`arqon peer show CLUSTER`: people know clusters by name and nodes by sight."""

from __future__ import annotations

from pathlib import Path

import pytest

from arqonmesh.config.load import loads
from arqonmesh.errors import CATALOGUE, NotFound, UsageError
from arqonmesh.ids import short, those_named
from arqonmesh.runtime.control import Control
from tests.runtime.pairs import hub_and_spoke, opened
from tests.runtime.test_service import service
from tests.waiting import until


async def test_a_clusters_only_node_is_shown_by_the_clusters_name(tmp_path: Path) -> None:
    """Of several the message names them; a ban always takes a node; what is neither id nor cluster is unknown."""
    (tmp_path / "more").mkdir()
    two = service(tmp_path / "more", "store", "spoke")
    async with opened(two), hub_and_spoke(tmp_path) as (hub, one):
        control = Control(hub)
        assert (await control.peer("store")).id == one.key.node_id
        assert (await control.peer(one.key.node_id[:8])).id == one.key.node_id
        with pytest.raises(UsageError) as ban:
            await control.peer_ban("store", "")
        assert ban.value.code == "peer.is-cluster" and ban.value.code in CATALOGUE
        assert ban.value.hint == f"arqon peer ban {short(one.key.node_id)}"
        with pytest.raises(UsageError) as pardon:
            await control.peer_forgive("store", "")
        assert pardon.value.hint == f"arqon peer forgive {short(one.key.node_id)}"
        await Control(two).join_address("{}:{}".format(*hub.endpoint.address), "")
        plane = hub.node.plane
        assert plane is not None
        await until(lambda: len(plane.admission.members()) == 3)
        with pytest.raises(UsageError) as several:
            await control.peer("store")
        assert several.value.hint == "arqon peer ls --sort cluster"
        for node in (one, two):
            assert node.key.node_id[:8] in str(several.value)
        with pytest.raises(NotFound) as unknown:
            await control.peer("nowhere")
        assert unknown.value.code == "peer.unknown"


async def test_a_member_is_named_as_the_screens_show_it_and_the_node_itself_is_told_so(tmp_path: Path) -> None:
    """CLUSTER/ID wherever a member is meant, both of which fit; what names this node only is not `unknown`."""
    async with hub_and_spoke(tmp_path) as (hub, one):
        control = Control(hub)
        shown = f"store/{one.key.node_id[:8]}"
        assert (await control.peer(shown)).id == (await control.route(shown)).to == one.key.node_id
        assert (await control.peer_ban(shown.upper(), "")).ignored
        assert not (await control.peer_forgive(shown, "")).ignored
        assert (await control.route(f"sto/{one.key.node_id[:4]}")).to == one.key.node_id
        assert [verdict.node for verdict in (await control.policy("a:b", shown)).verdicts] == [one.key.node_id]
        for wrong in (
            f"hq/{one.key.node_id[:8]}",
            f"stores/{one.key.node_id[:8]}",
            f"/{one.key.node_id}",
            "store/",
            "/",
            "",
            "nowhere",
        ):
            with pytest.raises(NotFound) as unknown:
                await control.peer(wrong)
            assert unknown.value.code == "peer.unknown", wrong
        own = hub.key.node_id
        for mine in ("hq", own, own[:8], f"hq/{own[:8]}", f"hq/{own[:4]}*"):
            for ask in (control.peer, control.route, lambda text: control.peer_ban(text, "")):
                with pytest.raises(UsageError) as itself:
                    await ask(mine)
                assert itself.value.code == "peer.is-self" and itself.value.code in CATALOGUE
                assert "is this node itself" in str(itself.value)


def test_the_beginning_of_a_clusters_name_is_taken_where_no_cluster_has_the_whole_of_it() -> None:
    """What the matrix has room for; ids alone are of any cluster."""
    members = (("hq", "abcd1"), ("hq-2", "abcd2"), ("factory-nord", "abce3"))
    for text, places in (
        ("hq/abcd", [0]),
        ("h/abcd", [0, 1]),
        ("hq-/abcd", [1]),
        ("factor/abce", [2]),
        ("Factor/ABCE*", [2]),
        ("abc", [0, 1, 2]),
        ("factory-nord-x/abce", []),
        ("/abce", []),
        ("*", []),
    ):
        assert those_named(text, members) == places, text


async def test_who_cannot_invite_for_want_of_an_address_is_shown_the_setting_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list: what hint and catalogue show is what the configuration takes."""
    hub = service(tmp_path, "hq", "hub")
    async with opened(hub):
        await Control(hub).seed("acme", "open", "")
        monkeypatch.setattr(hub, "addresses", lambda: ())
        with pytest.raises(UsageError) as refused:
            await Control(hub).invite_new("store", "spoke", 60.0, 1)
    assert refused.value.code == "invite.no-address"
    shown = 'listen.advertise: ["HOST:PORT"]'
    assert shown in (refused.value.hint or "") and shown in CATALOGUE["invite.no-address"][1]
    written = shown.partition(": ")[2].replace("HOST:PORT", "a.example:9130")
    config = loads(f"node: {{cluster: hq}}\nlisten: {{advertise: {written}}}\n".encode())
    assert config.listen.advertise == ("a.example:9130",)
