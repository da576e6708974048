"""`arqon certs`: the short-lived certificate that this node shows to others."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from arqonmesh_cli.answer import Answer, noun, verb
from arqonmesh_cli.connect import ask_at
from arqonmesh_cli.durations import show_duration
from arqonmesh_cli.options import Context, DataDir, Json
from arqonmesh_cli.screen import Screen
from arqonmesh_cli.times import day_and_clock

if TYPE_CHECKING:
    from arqonmesh.api.node_views import CertificateView

app = noun("The certificate that this node shows to others.")


@verb(app, "show", "arqon certs show", "arqon certs show --json | jq .data.not_after_ms")
def show(data_dir: DataDir = None, context: Context = None, as_json: Json = False) -> Answer:
    """Show the leaf certificate in use: who it names, its dates, when it is renewed."""
    certificate = ask_at(data_dir, context, lambda node: node.certificate())
    return Answer(certificate, lambda screen: _text(screen, certificate))


@verb(app, "rotate", "arqon certs rotate")
def rotate(data_dir: DataDir = None, context: Context = None, as_json: Json = False) -> Answer:
    """Make a new leaf certificate now; the old one holds for its window, links stay up."""
    certificate = ask_at(data_dir, context, lambda node: node.certificate_rotate())
    return Answer(certificate, lambda screen: _text(screen, certificate))


def _text(screen: Screen, certificate: CertificateView) -> None:
    now_ms = int(time.time() * 1_000)
    previous = certificate.previous_valid_until_ms
    screen.fields(
        (
            ("node", certificate.node_id),
            ("names", certificate.subject),
            ("serial", certificate.serial),
            ("from", day_and_clock(certificate.not_before_ms)),
            ("until", f"{day_and_clock(certificate.not_after_ms)}, {_left(certificate.not_after_ms, now_ms)}"),
            ("renewed", f"{day_and_clock(certificate.renew_at_ms)}, {_left(certificate.renew_at_ms, now_ms)}"),
            ("previous", "none valid" if previous is None else f"valid until {day_and_clock(previous)}"),
        )
    )


def _left(at_ms: int, now_ms: int) -> str:
    return f"in {show_duration((at_ms - now_ms) / 1_000)}" if at_ms > now_ms else "now past"
