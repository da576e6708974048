"""What the verbs about peers show, and the matrix of round trips."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from arqonmesh.api.mesh_views import CauseView, HopView, MatrixCellView, MatrixNodeView, MatrixView, PeerView, RouteView
from arqonmesh_cli.matrix import COLUMNS_MAX, show_matrix
from arqonmesh_cli.route import show_route
from arqonmesh_cli.screen import Screen
from tests.api.fake import FACTORY, HQ, STORE
from tests.cli.conftest import Arqon, Served, _Stream


def test_peer_show_tells_the_timeline(arqon: Arqon, served: Served) -> None:
    """When, by how much, the score after, why, and what there is as evidence, in words."""
    out = arqon("peer", "show", FACTORY[:4], *served.at).out
    line = next(line for line in out.splitlines() if "bad-signature" in line)
    assert "-0.100" in line and "0.900" in line and line.endswith("a word")


def test_whom_a_node_ignores_is_told_beside_whether_it_lives(
    arqon: Arqon, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the words of `arqon status`, with the command that ends it; a ban that was pardoned is none."""
    [seen, other] = asyncio.run(served.node.peers())

    def held(*causes: str) -> tuple[PeerView, ...]:
        told = tuple(CauseView(at_ms=1, delta=-1.0, cause=cause, evidence="", score=0.0) for cause in causes)
        return msgspec.structs.replace(seen, ignored=True, causes=told), other

    help_line = f"to count it again: arqon peer forgive facaaaaa --data-dir {served.at[1]}"
    for causes, word in (
        (("timeout", "banned"), "banned"),
        (("banned", "pardoned", "wrong-cluster"), "ignored"),
        (("equivocation",), "ignored"),
    ):

        async def peers(known: tuple[PeerView, ...] = held(*causes)) -> tuple[PeerView, ...]:
            return known

        monkeypatch.setattr(served.node, "peers", peers)
        listed, shown = arqon("peer", "ls", *served.at).out, arqon("peer", "show", "fac", *served.at).out
        assert f"● alive, {word}" in listed and listed.count("● alive,") == 1
        assert f"● alive, {word}" in shown and help_line in shown
    assert "forgive" not in arqon("peer", "show", "sto", *served.at).out


def test_the_operator_s_reason_reaches_the_node(arqon: Arqon, served: Served) -> None:
    """ban and forgive."""
    assert arqon("peer", "ban", "fac", "--reason", "floods us", *served.at).code == 0
    assert arqon("peer", "forgive", "fac", "--reason", "repaired", *served.at).code == 0
    assert ("peer_ban", ("fac", "floods us")) in served.node.calls
    assert ("peer_forgive", ("fac", "repaired")) in served.node.calls
    assert arqon("peer", "ban", "nobody", *served.at).code == 5


def test_a_ban_that_left_the_node_read_only_says_so(arqon: Arqon, served: Served) -> None:
    """And nothing of it while the node may write."""
    assert "read-only" not in arqon("peer", "ban", "fac", *served.at).out
    partition = served.node.status.partition
    assert partition is not None
    lost = msgspec.structs.replace(partition, writable=False, votes=1, voters=2)
    served.node.status = msgspec.structs.replace(served.node.status, partition=lost)
    out = arqon("peer", "ban", "fac", *served.at).out
    assert "this node is read-only: it counts 1 of 2 votes, 2 required" in out and "arqon peer forgive" in out


@pytest.mark.parametrize(("by", "first"), [("score", FACTORY), ("id", min(FACTORY, STORE)), ("latency", FACTORY)])
def test_peer_ls_sorts(by: str, first: str, arqon: Arqon, served: Served) -> None:
    """The lowest score, the nearest."""
    peers = arqon("peer", "ls", "--sort", by, "--json", *served.at).json["data"]["peers"]
    assert peers[0]["id"] == first


def test_the_matrix_tells_what_is_measured_and_what_is_guessed(arqon: Arqon, served: Served) -> None:
    """~ for a guess, ! for loss; --json says which."""
    out = arqon("mesh", "matrix", *served.at).out
    assert "1.2" in out and "42!2%" in out and "~140" in out
    data = arqon("mesh", "matrix", "--json", *served.at).json["data"]
    assert [cell["measured"] for cell in data["cells"]] == [True, True, False]


def test_the_matrix_of_one_node_has_its_pairs_only(arqon: Arqon, served: Served) -> None:
    """--node by the beginning of its id; unknown is exit code 5."""
    data = arqon("mesh", "matrix", "--node", HQ[:6], "--json", *served.at).json["data"]
    assert len(data["cells"]) == 2
    lines = arqon("mesh", "matrix", "--node", HQ[:6], "--sort", "rtt", *served.at).out.splitlines()
    assert "1.2 ms" in lines[1] and "41.5 ms" in lines[2]
    assert arqon("mesh", "matrix", "--node", f"hq/{HQ[:6]}", "--json", *served.at).json["data"] == data
    assert arqon("mesh", "matrix", "--node", f"store/{HQ[:6]}", *served.at).code == 5
    assert arqon("mesh", "matrix", "--node", "zzzz", *served.at).code == 5


def test_twelve_nodes_fit_eighty_columns() -> None:
    """Whatever the figures; with one more the pairs are listed."""
    ids = [f"node{index:02}" + "a" * 26 for index in range(COLUMNS_MAX + 1)]
    for count in (COLUMNS_MAX, COLUMNS_MAX + 1):
        cells = tuple(
            MatrixCellView(a=a, b=b, rtt_ms=250.0 + index, loss=None if index % 2 else 0.0, measured=not index % 2)
            for index, (a, b) in enumerate((a, b) for a in ids[:count] for b in ids[:count] if a < b)
        )
        nodes = tuple(MatrixNodeView(id=id_, cluster="warehouse", region="", state="alive") for id_ in ids[:count])
        stream = _Stream()
        show_matrix(Screen(stream), MatrixView(self_=ids[0], nodes=nodes, cells=cells), "", "cluster")
        lines = stream.text().splitlines()
        assert max(len(line) for line in lines[:-1]) <= 80
        assert len(lines) == (count + 3 if count <= COLUMNS_MAX else len(cells) + 3)


@pytest.mark.parametrize("sort", ["cluster", "rtt"])
def test_a_guess_of_the_way_to_a_dead_member_is_marked(sort: str) -> None:
    """It is of when that member was alive; without a dead one there is neither mark nor its line."""
    cells = (
        MatrixCellView(a=min(HQ, FACTORY), b=max(HQ, FACTORY), rtt_ms=7.0, loss=None, measured=False),
        MatrixCellView(a=min(HQ, STORE), b=max(HQ, STORE), rtt_ms=9.0, loss=None, measured=False),
    )

    def shown(state: str) -> str:
        nodes = tuple(
            MatrixNodeView(id=id_, cluster="lab", region="", state=state if id_ == STORE else "alive")
            for id_ in (HQ, FACTORY, STORE)
        )
        stream = _Stream()
        show_matrix(Screen(stream), MatrixView(self_=HQ, nodes=nodes, cells=cells), "", sort)
        return stream.text()

    assert "✖9.0" in shown("dead") and "~7.0" in shown("dead") and "one of them is dead" in shown("dead")
    assert "~9.0" in shown("suspect") and "✖" not in shown("suspect") + shown("alive")


def test_a_route_is_told_hop_by_hop_with_who_is_kept_off_it(arqon: Arqon, served: Served) -> None:
    """The way, the shorter one, and why that is not taken, with the command that tells more."""
    out = arqon("mesh", "route", "store", *served.at).out
    assert "over hq/" in out and "42.8 ms" in out
    assert "not taken: over factory/" in out and "2.5 ms" in out
    assert "convicted, by a proof or a ban (routing.transit: prefer-trusted)" in out
    assert f"arqon peer show {FACTORY[:8]}" in out


def test_no_route_and_a_last_resort_are_told_in_words() -> None:
    """What is empty, what is linked, and what goes over somebody who is ignored."""

    def hop(node: str, kept_off: str = "", rtt_ms: float | None = 1.0) -> HopView:
        return HopView(id=node, cluster="lab", rtt_ms=rtt_ms, kept_off=kept_off)

    def told(*hops: HopView, otherwise: tuple[HopView, ...] = (), link: str = "", why: str = "", **more: Any) -> str:
        stream = _Stream()
        view = RouteView(
            to=STORE,
            cluster="lab",
            state="alive",
            policy="prefer-trusted",
            hops=hops,
            otherwise=otherwise,
            link=link,
            link_why=why,
            **more,
        )
        show_route(Screen(stream), view, "")
        return stream.text()

    assert told().startswith(f"no way leads to lab/{STORE[:8]}, which is")
    assert told().endswith("\n  which links this node has: arqon link ls\n")
    assert told(hop(STORE), link="up") == f"lab/{STORE[:8]} is linked with this node, 1.0 ms\n"
    opening = told(hop(STORE, rtt_ms=None), link="opening")
    assert "is linked with this node (◐ opening), not measured yet" in opening
    longer = told(hop(STORE, rtt_ms=80.0), link="up", shorter=(hop(HQ), hop(STORE)))
    assert f"not taken: over lab/{HQ[:8]}, 2.0 ms\n  what is for a neighbour leaves on its own link" in longer
    without = told(hop(HQ), hop(STORE), link="waiting", why="no answer in 3 s")
    assert "no link of its own is up: ◐ waiting: no answer in 3 s\n  more: arqon link ls" in without
    assert "link of its own" not in told(hop(HQ), hop(STORE)), "nobody wished one"
    resort = told(hop(HQ, "ignored"), hop(STORE))
    assert "last resort" in resort and "ignored for what this node has seen of it" in resort
    assert "not taken: over lab/" in told(otherwise=(hop(HQ, "hold-down"), hop(STORE)))
