"""The way of control messages to a member, hop by hop, and who is kept off it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from arqonmesh_cli.screen import Screen, milliseconds, state_word

if TYPE_CHECKING:
    from arqonmesh.api.mesh_views import HopView, RouteView

LAST_RESORT = "last resort: no other way leads there"


def show_route(screen: Screen, route: RouteView, suffix: str) -> None:
    """`suffix`: what names the data directory in the commands of hints."""
    who = f"{route.cluster}/{route.to[:8]}"
    if not route.hops:
        screen.line((f"no way leads to {who}", "bold"), ", which is ", state_word(route.state))
        if not route.link:
            screen.line((f"  which links this node has: arqon link ls{suffix}", "dim"))
    elif len(route.hops) == 1:
        state = "" if route.link in ("", "up") else f" ({state_word(route.link)})"
        screen.line((f"{who} is linked with this node", "bold"), f"{state}, {_rtt(route.hops)}")
    else:
        screen.line((f"{who} over {_names(route.hops)}", "bold"), f", {_rtt(route.hops)}")
        screen.table(
            ("HOP", "NODE", "RTT", "TRANSIT"),
            [
                (str(place), f"{hop.cluster}/{hop.id[:8]}", milliseconds(hop.rtt_ms), _transit(hop))
                for place, hop in enumerate(route.hops, 1)
            ],
        )
    if len(route.hops) != 1 and route.link:
        why = f": {route.link_why}" if route.link_why else ""
        screen.line()
        screen.line("no link of its own is up: ", state_word(route.link), why)
        screen.line((f"  more: arqon link ls{suffix}", "dim"))
    if route.shorter:
        screen.line()
        screen.line(f"not taken: over {_names(route.shorter)}, {_rtt(route.shorter)}")
        screen.line("  what is for a neighbour leaves on its own link, though another way is shorter")
    if route.otherwise:
        screen.line()
        screen.line(f"not taken: over {_names(route.otherwise)}, {_rtt(route.otherwise)}")
    for hop in [hop for hop in (route.otherwise or route.hops) if hop.kept_off]:
        screen.line(f"  {hop.cluster}/{hop.id[:8]} is {_why(hop.kept_off)} (routing.transit: {route.policy})")
        screen.line((f"  why: arqon peer show {hop.id[:8]}{suffix}", "dim"))


def _names(hops: Sequence[HopView]) -> str:
    return ", ".join(f"{hop.cluster}/{hop.id[:8]}" for hop in hops[:-1])


def _rtt(hops: Sequence[HopView]) -> str:
    figures = [hop.rtt_ms for hop in hops if hop.rtt_ms is not None]
    return milliseconds(sum(figures)) if len(figures) == len(hops) else "not measured yet"


def _transit(hop: HopView) -> str:
    return LAST_RESORT if hop.kept_off else "-"


def _why(reason: str) -> str:
    """In words that a person knows."""
    told = {
        "convicted": "convicted, by a proof or a ban",
        "ignored": "ignored for what this node has seen of it",
        "hold-down": "forgiven, and carries again within a minute",
    }
    return told.get(reason, reason)
