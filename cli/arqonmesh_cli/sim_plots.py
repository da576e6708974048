"""A comparison as a picture. matplotlib is an extra: nothing else here needs it."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arqonmesh.errors import ConfigError
from arqonmesh.sim.exploring import unwritable

if TYPE_CHECKING:
    from arqonmesh.sim.exploring import Compared, Explored


def check_plots() -> None:
    """Raises ConfigError `sim.no-plots` when the library is missing, before an hour of simulation."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError(
            "sim.no-plots",
            "matplotlib is not installed; pictures need the extra `plots`",
            hint="pip install 'arqonmesh[plots]'",
        )


def draw_plot(path: Path, before: Explored, now: Explored, rows: Sequence[Compared]) -> None:
    """One panel per metric, its figures then and now. Raises ConfigError `sim.no-plots`, `sim.save`."""
    check_plots()
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    metrics = list(dict.fromkeys(row.metric for row in rows))
    figure, panels = pyplot.subplots(1, max(1, len(metrics)), figsize=(4 * max(1, len(metrics)), 3.6), squeeze=False)
    for panel, metric in zip(panels[0], metrics, strict=False):
        shown = [row for row in rows if row.metric == metric]
        places = range(len(shown))
        panel.bar([place - 0.2 for place in places], [row.before for row in shown], 0.4, label=before.commit or "then")
        panel.bar([place + 0.2 for place in places], [row.now for row in shown], 0.4, label=now.commit or "now")
        panel.set_xticks(list(places), [row.figure for row in shown])
        panel.set_title(metric)
        panel.legend()
    figure.suptitle(f"{before.seeds} seeds of {before.scenario}")
    figure.tight_layout()
    try:
        figure.savefig(path, format="png", dpi=120)
    except OSError as error:
        raise unwritable(path, error) from None
    finally:
        pyplot.close(figure)
