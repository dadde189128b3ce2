"""Every target of the fuzzer, tried for a moment by hypothesis: what `make fuzz` does for longer (see CONTRIBUTING)."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fuzz.seeds import SEEDS
from tests.fuzz.targets import TARGETS

# Pieces that matter to parsers, between ordinary bytes.
_PIECES = st.sampled_from(
    [b'"', b"'", b"\\", b"\n", b"\r\n", b",", b";", b":", b"{", b"}", b"[", b"]", b"\x00", b"\xff", b"\\u0000", b"=",
     b"\\ud800", b"NaN", b"1e999", b"9" * 20, b"9" * 5000, b"-0", b"[" * 3000, b"\xe2\x80\xae", b"\x1b[2J", b"id",
     b"null", b"true", b"0x"]
)  # fmt: skip


def _astray(seeds: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """An ordinary input with something else in one place of it."""
    cut = st.tuples(st.sampled_from(seeds), st.integers(0, 400), st.integers(0, 40), _PIECES | st.binary(max_size=8))
    return cut.map(lambda c: c[0][: c[1]] + c[3] + c[0][c[1] + c[2] :])


def test_every_target_has_seeds() -> None:
    """And no seed is for a target that is gone."""
    assert set(SEEDS) == set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_target_holds_whatever_it_is_given(name: str) -> None:
    """Its promise is in its own words; nothing but an assertion may come of breaking it."""
    target = TARGETS[name]
    for seed in SEEDS[name]:
        target(seed)

    @given(_astray(SEEDS[name]) | st.binary(max_size=200))
    @example(b"")
    @settings(max_examples=200, deadline=None, database=None, derandomize=True)
    def holds(data: bytes) -> None:
        target(data)

    holds()
