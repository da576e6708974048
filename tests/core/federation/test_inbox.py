"""The window of sections that have been here."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.core.federation.inbox import EPOCHS_MAX, WINDOW, Inbox, Seen, Window
from arqonmesh.core.kernel import Delete, Put
from arqonmesh.ids import NodeId

ORIGIN = NodeId("a" * 32)


@given(st.lists(st.integers(1, 3 * WINDOW), max_size=200))
def test_a_window_agrees_with_a_set_that_remembers_everything(numbers: list[int]) -> None:
    """New exactly when never added and not further back than the window."""
    window, remembered = Window(), {0}
    for number in numbers:
        high = max(remembered)
        expected = Seen.BELOW if number <= high - WINDOW else Seen.DUPLICATE if number in remembered else Seen.NEW
        assert window.look(number) is expected
        if expected is Seen.NEW:
            window.add(number)
            remembered.add(number)


def test_a_huge_leap_costs_nothing() -> None:
    """A number near 2^62 moves the window; it does not shift a bitmap by 2^62 places."""
    window = Window()
    window.add(1 << 62)

    assert window.look(1 << 62) is Seen.DUPLICATE
    assert window.look((1 << 62) - 1) is Seen.NEW
    assert window.look(1) is Seen.BELOW


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 9_000)), max_size=100))
def test_what_was_written_and_read_again_answers_the_same(marks: list[tuple[int, int]]) -> None:
    """The rows of `take_writes` rebuild the inbox."""
    inbox, rows = Inbox(), {}
    for epoch, seq in marks:
        if inbox.look(ORIGIN, epoch, seq) is Seen.NEW:
            inbox.add(ORIGIN, epoch, seq)
        for write in inbox.take_writes():
            assert isinstance(write, Put)
            rows[write.row[:2]] = write.row
    again = Inbox()
    again.load(rows.values())

    for epoch, seq in marks:
        assert again.look(ORIGIN, epoch, seq) is inbox.look(ORIGIN, epoch, seq) is not Seen.NEW
        assert again.look(ORIGIN, epoch, seq + 1) is inbox.look(ORIGIN, epoch, seq + 1)


def test_lives_of_an_origin_older_than_those_kept_are_taken_as_seen() -> None:
    """Eight epochs are kept apart; the oldest goes, with its row, and nothing of it is taken any more."""
    inbox = Inbox()
    for epoch in range(1, EPOCHS_MAX + 2):
        inbox.add(ORIGIN, epoch, 1)

    assert inbox.look(ORIGIN, 1, 2) is Seen.BELOW
    assert inbox.look(ORIGIN, 2, 2) is Seen.NEW
    assert Delete("inbox", (ORIGIN, 1)) in inbox.take_writes()
