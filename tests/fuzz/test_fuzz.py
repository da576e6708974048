"""Noise on every parser of remote input, briefly; `python bench/fuzz.py --seconds 60` does it at length."""

from __future__ import annotations

import random

import pytest

from arqonmesh.errors import DecodeError
from bench.fuzz import TARGETS, Failure, Target, hammer, main, mutate


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_understands_or_refuses_and_nothing_else(name: str) -> None:
    """A fifth of a second of mutated and random input; understood cases are in it, else only refusal was tried."""
    report = hammer(name, TARGETS[name](), seconds=0.2, seed=1)

    assert report.cases > report.understood > 0


def test_another_exception_is_a_failure_that_shows_its_case() -> None:
    """The hammer itself can fail: it reports what broke, on which bytes."""

    def parse(case: bytes) -> None:
        if b"\xff" in case:
            raise ZeroDivisionError
        if case != b"fine":
            raise DecodeError("wire.malformed", "not fine")

    with pytest.raises(Failure, match="ZeroDivisionError") as caught:
        hammer("fragile", Target([b"fine"], parse, (DecodeError,)), seconds=5, seed=1)
    assert b"\xff" in caught.value.case


def test_a_parser_that_keeps_what_it_was_sent_is_a_failure() -> None:
    """Memory that grows with the input is found."""
    kept: list[bytes] = []

    def parse(case: bytes) -> None:
        kept.append(case * 1_000)

    with pytest.raises(Failure, match="memory grew"):
        hammer("hoarder", Target([b"x" * 100], parse, (DecodeError,)), seconds=0.3, seed=1)


def test_the_same_seed_makes_the_same_cases() -> None:
    """A failure can be repeated."""

    def cases(seed: int) -> list[bytes]:
        rng = random.Random(seed)
        return [mutate(rng, [b"one", b"another"]) for _ in range(200)]

    assert cases(1) == cases(1) != cases(2)


def test_the_command_reports_each_target(capsys: pytest.CaptureFixture[str]) -> None:
    """One line each, exit code 0."""
    assert main(["--seconds", "0.05", "--target", "frames"]) == 0
    assert "cases" in capsys.readouterr().out
