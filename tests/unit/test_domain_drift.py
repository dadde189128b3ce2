"""The comparison of one reference, by its properties."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.drift import GRAVE, Kept, Kind, Listed, compare, metres, same_text

places = st.tuples(st.floats(-90, 90), st.floats(-180, 180))
texts = st.text(max_size=30)
records = st.builds(
    Listed,
    reference=st.just("r"),
    provider_site_id=st.sampled_from(["1", "2", "3"]),
    name=texts,
    address=texts,
    place=st.none() | places,
    deleted=st.booleans(),
    in_coverage=st.sampled_from([None, True]),
)
kept = st.builds(Kept, site=records, settled=st.booleans(), gone=st.booleans())


@given(records)
def test_nothing_is_found_when_the_provider_lists_what_we_have(record: Listed) -> None:
    """Whatever it says, our own version is no drift, but for a position that cannot be read."""
    living = Listed(**{**record.__dict__, "deleted": False})
    assert compare(Kept(living, settled=True), [living], moved_m=0.5) == []


@given(st.none() | kept, st.lists(records, max_size=4), st.floats(0, 1e6))
def test_findings_of_a_reference_are_distinct_and_of_one_sort(
    ours: Kept | None, theirs: list[Listed], moved_m: float
) -> None:
    """Each once; what nobody can be sent by stands alone; what was sent a moment ago is not judged."""
    unique = list({record.provider_site_id: record for record in theirs}.values())
    found = compare(ours, unique, moved_m=moved_m)
    assert len({(finding.kind, finding.subject) for finding in found}) == len(found)
    if any(finding.kind in GRAVE for finding in found):
        assert len(found) == 1
    if ours is not None and not ours.settled:
        assert {finding.kind for finding in found} <= {Kind.DUPLICATE}
    if ours is not None and not ours.gone and sum(not record.deleted for record in unique) > 1:
        assert [finding.kind for finding in found] == [Kind.DUPLICATE]


@given(places, places)
def test_distance_is_symmetric_and_bounded(a: tuple[float, float], b: tuple[float, float]) -> None:
    """Never more than half the globe; none from a place to itself."""
    assert metres(a, a) == 0
    assert abs(metres(a, b) - metres(b, a)) < 1e-3
    assert metres(a, b) <= 20_015_200


def test_distance_is_short_across_the_antimeridian() -> None:
    """Two metres, not forty thousand kilometres."""
    assert metres((0.0, 179.99999), (0.0, -179.99999)) < 3
    assert 110_000 < metres((0.0, 0.0), (1.0, 0.0)) < 112_000


@given(texts)
def test_text_is_the_same_when_only_case_spaces_and_commas_differ(text: str) -> None:
    """As providers like to rewrite addresses."""
    assert same_text(text, f"  {text} ")
    assert same_text("1 Long Street, Cape Town", "1  LONG street Cape Town.")
    assert not same_text("Depot 1", "Depot 2")
    assert not same_text("?", "!")
