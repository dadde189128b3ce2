# ruff: noqa: E501 - samples are read whole
"""What a fuzzer and hypothesis begin with: one ordinary input per target, from which they go astray."""

from __future__ import annotations

import json

_ALARM = {
    "incident_ref": "A-1", "kind": "fire", "zone": "1", "occurred_at": "2026-01-01T00:00:00+02:00", "severity": 6.0,
    "person": {"name": "Ann", "phone": "+12025550123", "pin": "4711"}, "media": [{"url": "https://x.example/1.jpg"}],
    "location": {"address": {"line1": "1 Main St", "city": "Austin", "state": "TX", "zip": "78701"}},
}  # fmt: skip
_EVENT = {
    "event_id": "e-1",
    "event_type": "alarm.closed",
    "event_time": "2026-01-01T00:00:00Z",
    "meta": {"alarm_id": "a"},
}
_VERDICT = {"id": "t-1", "conclusive": True, "result": "no", "error": "x"}
_CALLOUT = {
    "id": "c-1", "status": "Responder Arrived", "createdAt": "2026-01-01T00:00:00Z", "eta": 3, "fixedLocationId": "f-1",
    "incidentInformation": [{"status": "closed", "createdAt": "2026-01-01T00:00:00Z"}],
}  # fmt: skip
_SITE = {"id": 7, "externalReferenceId": "a", "latitude": "1.5", "longitude": 2, "serviceCoverage": {"security": True}}


def _text(value: object) -> bytes:
    return json.dumps(value).encode()


SEEDS: dict[str, tuple[bytes, ...]] = {
    "aura_verifier": (b"Bearer secret", b"bearer secret", b"Bearer  secret", b"secret"),
    "noonlight_verifier": (b"AAAA\n{}", b"Y2Fubm90\n[1, 2]", b"=\n"),
    "aura_events": (_text({"message": "CALLOUT_CLOSED", "callout": _CALLOUT}), _text({"message": "x", "id": 1}), b"[]"),
    "noonlight_events": (_text([_EVENT, _VERDICT]), _text(_EVENT), _text([1, None, "x"]), b"[[]]"),
    "json_bodies": (_text(_ALARM), b'{"reason":"other","pin":"1"}', b'{"a":1e5,"b":-0.0,"c":"\\ud83d\\ude00"}'),
    "cursors": (b"WzFd", b"WyJcXHUwMDAwIl0", b"WyJcdWQ4MDAiXQ", b"WyIyMDI2LTAxLTAxVDAwOjAwOjAwKzAwOjAwIiwgImEiXQ", b"W10"),
    "portfolios": (b"site_ref,name,latitude,longitude,notes\na,A,1,2,\"x\ny\"\n", b"\xef\xbb\xbfname;lat;lng;reference\nA;1,5;2;'=a\n"),
    "addresses": (b"https://x.example/{incident_ref}?a={incident_id}", b"http://[::1]:80/", b"https://2130706433/", b"http://e::1]:8a=[::1]:85/"),
    "positions": (b"\x00\n" + _text({"lat": 1.5, "lng": 2, "accuracy": 5, "time": "2026-01-01T00:00:00Z"}), b"\x00\n[]"),
    "words": (b"\x00Wed, 21 Oct 2015 07:28:00 GMT\n{}", b"\x00120\n[1e5]", b"2026-01-01T00:00:00+14:00", b"2026-W01-1T00"),
    "create_answers": (b"\x01\n" + _text({"callout": _CALLOUT}), b"\x06\n" + _text({"calloutId": "c", "message": "x"}),
                       b"\x0a\n" + _text({"code": 500, "message": "x", "key": "k"})),
    "aura_reads": (b"\x00\n" + _text([_CALLOUT]), b"\x00\n" + _text({"events": [{"id": 1, "event": {"text": "hi"}}]}),
                   b"\x00\n" + _text({"accessToken": "a.eyJleHAiOjF9.c", "expiresIn": "300"})),
    "aura_listing": (b"\x07" + _text([_SITE]), b"\x00" + _text({"data": [_SITE, _SITE], "next": None})),
    "write_backs": (_text({"id": "1", "word": "x"}), b"\x00"),
    "signing_secrets": (b"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz", b"A" * 17, b"=" * 20),
}  # fmt: skip
