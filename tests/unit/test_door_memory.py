"""What the door remembers for a few seconds."""

from __future__ import annotations

from webhooks_app.door import Memory


def test_entry_is_renewed_by_one_asker_when_it_fades() -> None:
    """So that a crowd need not look it up when it is forgotten."""
    fresh, fading = Memory[str](60.0), Memory[str](0.0)
    for memory in (fresh, fading):
        assert not memory.fades("a")
        memory.put("a", "x")

    assert not fresh.fades("a")
    assert [fading.fades("a") for _ in range(3)] == [True, False, False]
    fading.put("a", "y")
    assert fading.fades("a")
