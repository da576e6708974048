"""Wishes for links on a clock moved by hand."""

from __future__ import annotations

import random

import pytest

from arqonmesh.ids import NodeId
from arqonmesh.net.dialer import DIALLING_MAX, WISHES_MAX, Dialer, Wish
from tests.net.kit import key

A, B = key(1).node_id, key(2).node_id
NOBODY: dict[NodeId, object] = {}


def _dialer(seed: int = 0) -> Dialer:
    return Dialer(min_s=0.2, max_s=15.0, rng=random.Random(seed))


def _fail_next(dialer: Dialer) -> tuple[Wish, float]:
    """Dial what is due next and fail it; the pause until the next try."""
    at = dialer.deadline()
    assert at is not None
    (wish,) = dialer.due(at, NOBODY)
    dialer.failed(wish, "no answer", at)
    return wish, wish.next_at - at


@pytest.mark.requirement("R-TR-7")
def test_pauses_double_from_min_to_max_with_jitter_on_their_upper_half_and_never_end() -> None:
    """0.2 s doubles to 15 s; each pause is drawn from [half, whole]; the hundredth dial is still made."""
    dialer = _dialer()
    dialer.want(A, ("h:1",), 0.0)
    pauses = [_fail_next(dialer)[1] for _ in range(100)]
    for n, pause in enumerate(pauses):
        whole = min(15.0, 0.2 * 2**n)
        assert whole / 2 <= pause <= whole
    assert len(set(pauses[10:])) > 80


def test_two_nodes_with_different_dice_do_not_dial_in_step() -> None:
    """Jitter is there so that a mesh that fell together does not knock together."""
    first, second = _dialer(1), _dialer(2)
    for dialer in (first, second):
        dialer.want(A, ("h:1",), 0.0)
    assert _fail_next(first)[1] != _fail_next(second)[1]


def test_the_back_off_starts_over_only_after_a_link_that_held() -> None:
    """A link that falls within 5 s keeps the pauses growing, or two broken nodes would dial each other hot."""
    dialer = _dialer()
    dialer.want(A, ("h:1",), 0.0)
    for _ in range(5):
        _fail_next(dialer)
    at = dialer.deadline()
    assert at is not None
    (wish,) = dialer.due(at, NOBODY)
    dialer.link_up(A, at, wish)
    dialer.link_down(A, "gone", at + 1.0)
    assert wish.attempt == 6
    at = dialer.deadline()
    assert at is not None
    (wish,) = dialer.due(at, NOBODY)
    dialer.link_up(A, at, wish)
    dialer.link_down(A, "gone", at + 6.0)
    assert wish.attempt == 0
    assert wish.next_at - (at + 6.0) <= 0.2


def test_what_a_screen_needs_is_visible() -> None:
    """State, attempt, last error, next try."""
    dialer = _dialer()
    dialer.want(None, ("h:1", "h:2"), 0.0)
    _fail_next(dialer)
    (info,) = dialer.infos(0.05)
    assert (info.state, info.attempt, info.last_error, info.peer) == ("waiting", 1, "no answer", None)
    assert info.address == "h:2"
    assert info.next_try_in_s is not None
    assert 0.05 <= info.next_try_in_s + 0.05 <= 0.2


def test_a_wish_for_a_linked_peer_is_fulfilled_without_a_dial() -> None:
    """An inbound link serves as well."""
    dialer = _dialer()
    dialer.want(A, ("h:1",), 0.0)
    assert dialer.due(1.0, {A: object()}) == []
    assert dialer.infos(1.0)[0].state == "up"
    dialer.link_down(A, "gone", 10.0)
    assert dialer.infos(10.0)[0].state == "waiting"


def test_two_wishes_for_one_peer_make_one_dial() -> None:
    """An address that turned out to be A, and A by name: one connection serves both."""
    dialer = _dialer()
    dialer.want(None, ("h:1",), 0.0)
    (by_address,) = dialer.due(0.0, NOBODY)
    dialer.link_up(A, 0.0, by_address)
    dialer.want(A, ("h:1",), 0.0, linked=True)
    dialer.link_down(A, "gone", 10.0)
    assert len(dialer.due(100.0, NOBODY)) == 1


def test_repeats_renew_the_addresses_and_nothing_else() -> None:
    """`want` may be called at every change of the roster."""
    dialer = _dialer()
    dialer.want(A, ("h:1",), 0.0)
    _fail_next(dialer)
    dialer.want(A, ("h:9",), 0.1)
    (info,) = dialer.infos(0.1)
    assert (info.addresses, info.attempt) == (("h:9",), 1)


def test_forgetting_by_peer_by_address_and_while_dialling() -> None:
    """A dial that fails after its wish was forgotten changes nothing."""
    dialer = _dialer()
    dialer.want(A, ("h:1",), 0.0)
    dialer.want(None, ("h:2",), 0.0)
    first, second = dialer.due(0.0, NOBODY)
    dialer.forget(A, None)
    assert not dialer.holds(first)
    assert dialer.holds(second)
    dialer.forget(None, "h:2")
    dialer.failed(second, "late", 1.0)
    assert dialer.infos(1.0) == []
    assert dialer.deadline() is None


def test_forgetting_an_address_leaves_the_wish_for_a_peer_that_is_there_alone() -> None:
    """The operator takes back `link add`; that the roles want the same hub is not the operator's to end."""
    dialer = _dialer()
    dialer.want(A, ("h:1", "h:2"), 0.0)
    dialer.want(None, ("h:1",), 0.0)
    dialer.forget(None, "h:1")
    (kept,) = dialer.infos(0.0)
    assert kept.peer == A
    dialer.forget(A, "elsewhere:1")
    assert dialer.infos(0.0) == [kept]
    dialer.forget(A, "h:2")
    assert dialer.infos(0.0) == []


def test_what_an_operator_wished_by_address_stands_when_the_mesh_takes_its_wish_for_that_peer_back() -> None:
    """`link add` is for ever: a leader of its region no more, the node dials the same hub on."""
    dialer = _dialer()
    dialer.want(None, ("h:1",), 0.0)
    (by_address,) = dialer.due(0.0, NOBODY)
    dialer.link_up(A, 0.0, by_address)
    dialer.want(A, ("h:1",), 0.0, linked=True)
    dialer.forget(A, None)
    dialer.link_down(A, "not-wanted", 10.0)
    (again,) = dialer.due(100.0, NOBODY)
    assert (again.peer, again.address) == (None, "h:1")
    dialer.forget(A, "h:1")
    assert dialer.infos(100.0) == []


def test_wishes_and_dials_under_way_are_bounded() -> None:
    """1,024 wishes, 32 dials at once; the others wait their turn, not the loop's."""
    dialer = _dialer()
    assert all(dialer.want(None, (f"h:{n}",), 0.0) for n in range(1, WISHES_MAX + 1))
    assert not dialer.want(None, ("one:1",), 0.0)
    assert len(dialer.due(0.0, NOBODY)) == DIALLING_MAX
    assert dialer.due(0.0, NOBODY) == []
    at = dialer.deadline()
    assert at is not None
    assert at > 0.0


def test_a_wish_without_addresses_is_none() -> None:
    """Nothing to dial, nothing to remember."""
    assert not _dialer().want(B, (), 0.0)
