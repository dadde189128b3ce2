"""Where Noonlight answers: the 50 US states ("Standard Alarms", Geographic Coverage), and what an account agreed on."""

from __future__ import annotations

from shared.domain.alarm import Address, Coordinates, DispatchRequest
from shared.providers.base import Account
from shared.providers.noonlight.formats import address_of
from shared.providers.noonlight.mapping import STATES

_Box = tuple[float, float, float, float]

# South, north, west, east in degrees. Coarse on purpose: they tell St. Louis from Cape Town, not from Toronto.
_STATE_BOXES: tuple[_Box, ...] = (
    (24.4, 49.5, -124.9, -66.8),  # the contiguous states
    (51.0, 71.6, -180.0, -129.9),  # Alaska
    (51.0, 53.5, 172.0, 180.0),  # its islands beyond the antimeridian
    (18.8, 28.6, -178.5, -154.7),  # Hawaii
)
_REGION_BOXES: dict[str, _Box] = {
    "PR": (17.8, 18.6, -68.0, -65.2),
    "VI": (17.6, 18.5, -65.2, -64.5),
    "GU": (13.2, 13.7, 144.6, 145.0),
    "MP": (14.0, 20.6, 144.8, 146.1),
    "AS": (-14.6, -11.0, -171.2, -168.1),
}


def doubts(account: Account, request: DispatchRequest) -> list[str]:
    """Why the place of an alarm may not be covered; empty when it is. The texts quote no value."""
    address = address_of(request)
    if address is not None:
        return region_doubts(account, address)
    return [] if request.coordinates is None else _point_doubts(account, request.coordinates)


def region_doubts(account: Account, address: Address) -> list[str]:
    """Why an address may not be covered."""
    found = []
    if address.state.strip().upper() not in STATES | set(account.options.get("regions", ())):
        found.append("the state is none of the covered ones")
    if address.country.strip().upper() not in ("", "US", "USA"):
        found.append("only addresses in the US are covered")
    return found


def _point_doubts(account: Account, point: Coordinates) -> list[str]:
    agreed = [box for region, box in _REGION_BOXES.items() if region in account.options.get("regions", ())]
    boxes = (*_STATE_BOXES, *agreed)
    if _inside(boxes, point.lat, point.lng):
        return []
    if _inside(boxes, point.lng, point.lat):
        return ["the coordinates lie outside of the US, and inside with latitude and longitude exchanged"]
    return ["the coordinates lie outside of the US"]


def _inside(boxes: tuple[_Box, ...], lat: float, lng: float) -> bool:
    return any(south <= lat <= north and west <= lng <= east for south, north, west, east in boxes)
