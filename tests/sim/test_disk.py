"""The disk keeps its promises and not a byte more."""

from __future__ import annotations

from functools import partial

from arqonmesh.core.kernel import Delete, Put
from arqonmesh.sim.disk import Disk
from arqonmesh.sim.world import World


def put(number: int) -> tuple[Put]:
    return (Put("outbox", ("peer", number, b"x")),)


def kept(disk: Disk) -> list[object]:
    return [row[1] for row in disk.durable()["outbox"]]


def test_transactions_are_answered_in_order_and_after_they_are_done() -> None:
    """An answer means that the row is there."""
    world = World(1)
    disk = Disk(world, "d")
    seen: list[list[object]] = []
    for number in range(3):
        disk.write(put(number), sync=number == 1, done=lambda: seen.append(kept(disk)))
    world.run_for(100_000)

    assert seen == [[0], [0, 1], [0, 1, 2]]


def test_a_killed_process_loses_no_transaction_that_was_answered() -> None:
    """What was handed over and not answered may be there up to some point, in order; nobody is answered any more."""
    outcomes = set()
    for seed in range(40):
        world = World(seed)
        disk = Disk(world, "d")
        answered: list[int] = []
        for number in range(4):
            disk.write(put(number), sync=False, done=partial(answered.append, number))
        world.run_for(500)
        before = list(answered)
        disk.process_died()
        world.run_for(100_000)
        assert answered == before
        assert kept(disk) == list(range(len(kept(disk))))
        assert len(kept(disk)) >= len(before)
        outcomes.add(len(kept(disk)) - len(before))

    assert len(outcomes) > 2


def test_a_loss_of_power_takes_what_was_not_synced_and_nothing_else() -> None:
    """A sync makes everything before it safe too; of what came after, a prefix stays."""
    outcomes = set()
    for seed in range(40):
        world = World(seed)
        disk = Disk(world, "d")
        for number in range(6):
            disk.write(put(number), sync=number == 2, done=None)
        world.run_for(1_000_000)
        disk.power_lost()
        assert kept(disk) == list(range(len(kept(disk))))
        assert len(kept(disk)) >= 3
        outcomes.add(len(kept(disk)))

    assert outcomes == {3, 4, 5, 6}


def test_a_row_is_replaced_by_its_key_and_deleted_by_it() -> None:
    """Put is insert or replace; deleting what is not there is fine."""
    disk = Disk(World(1), "d")
    disk.write_now((Put("inbox", ("a", 1, 5, b"")), Put("inbox", ("a", 1, 6, b"")), Delete("inbox", ("b", 1))))
    assert disk.durable()["inbox"] == [("a", 1, 6, b"")]

    disk.write_now((Delete("inbox", ("a", 1)),))
    assert disk.durable()["inbox"] == []


def test_after_an_error_nothing_is_written_any_more() -> None:
    """As after a failed fsync: the transaction and all behind it are gone, unanswered, and the process is told once."""
    world = World(1)
    disk = Disk(world, "d")
    told: list[str] = []
    disk.write(put(0), sync=True, done=None)
    world.run_for(100_000)
    disk.on_error = lambda: told.append("error")
    for number in (1, 2):
        disk.write(put(number), sync=True, done=partial(told.append, "done"))
    world.run_for(100_000)
    assert told == ["error"]
    assert kept(disk) == [0]


def test_a_torn_transaction_is_whole_or_gone_because_of_its_checksum() -> None:
    """Without checksums, half of it would be read back: what the simulated disk can show, and the real one prevents."""
    halves = {True: 0, False: 0}
    for checksums in halves:
        for seed in range(40):
            disk = Disk(World(seed), "d")
            disk.tears, disk.checksums = True, checksums
            disk.write((*put(1), *put(2)), sync=True, done=None)
            disk.power_lost()
            halves[checksums] += len(kept(disk)) == 1
    assert halves[True] == 0 < halves[False]


def test_a_slow_disk_takes_so_many_times_as_long() -> None:
    """Nothing else changes."""

    def took(slowness: int) -> int:
        world = World(1)
        disk = Disk(world, "d")
        disk.slowness = slowness
        at: list[int] = []
        disk.write(put(1), sync=True, done=lambda: at.append(world.now))
        world.run_for(1_000_000)
        return at[0]

    assert took(50) > 40 * took(1)
