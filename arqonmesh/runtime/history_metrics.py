"""The numbers of the durable history, named as in observe/metrics.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from arqonmesh.observe.samples import Sample

if TYPE_CHECKING:
    from arqonmesh.runtime.history import HistoryKeeper

_FAILED: Final = "redis_failed_"


def history_samples(keeper: HistoryKeeper) -> Iterator[Sample]:
    """Nothing of what the node does not have: no disk, no Redis."""
    stats = keeper.stats()
    yield Sample("arqon_history_ok", bool(keeper.health()["ok"]))
    if "kept" in stats:
        yield Sample("arqon_history_frames_total", stats["kept"], ("sqlite", "written"))
        yield Sample("arqon_history_frames_total", stats["dropped"], ("sqlite", "dropped"))
        yield Sample("arqon_history_commits_total", stats["commits"])
        yield Sample("arqon_history_reads_total", stats["reads"])
        yield Sample("arqon_history_pruned_rows_total", stats["pruned"])
        yield Sample("arqon_history_held_bytes", stats["held_bytes"])
        yield Sample("arqon_history_waiting_bytes", stats["waiting_bytes"], ("sqlite",))
    if "redis_ok" in stats:
        yield Sample("arqon_history_redis_up", stats["redis_ok"])
        for fate in ("written", "skipped", "dropped"):
            yield Sample("arqon_history_frames_total", stats[f"redis_{fate}"], ("redis", fate))
        yield Sample("arqon_history_waiting_bytes", stats["redis_waiting_bytes"], ("redis",))
        yield Sample("arqon_history_redis_behind_rows", stats["redis_behind_rows"])
        yield Sample("arqon_history_redis_lag_seconds", stats["redis_lag_ms"] / 1_000)
        yield Sample("arqon_history_redis_spoiled_keys", stats["redis_spoiled_keys"])
        yield Sample("arqon_history_redis_unions_total", stats["redis_unions"])
        for what in ("episodes", "reconnects", "rewinds"):
            yield Sample("arqon_history_redis_total", stats[f"redis_{what}"], (what,))
        for name, count in stats.items():
            if name.startswith(_FAILED):
                yield Sample("arqon_history_redis_failures_total", count, (name.removeprefix(_FAILED),))
