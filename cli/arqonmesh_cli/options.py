"""The options that every verb shares."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

DataDir: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", envvar="ARQON_DATA_DIR", metavar="DIR", help="Data directory of the node.", show_default=False
    ),
]
Context: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--context",
        envvar="ARQON_CONTEXT",
        metavar="NAME",
        help="A node of the running demo or lab by its name, such as hq; wins over --data-dir.",
        show_default=False,
    ),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Answer as JSON, errors included.")]
