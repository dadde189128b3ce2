"""Verification tasks: a person looks at pictures or a clip and answers yes or no ("Create new verification task")."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from shared.domain.outcome import Accepted, Outcome, Temporary
from shared.providers.answers import lost
from shared.providers.base import Account, Call, Media, Question
from shared.providers.http import AnswerLost, NotSent
from shared.providers.noonlight.calls import refused, send

_IMAGES = {"image/jpeg", "image/jpg", "image/png"}
_VIDEOS = {"video/mp4", "application/x-mpegURL"}
_ENDINGS = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".mp4": "video/mp4",
    ".m3u8": "application/x-mpegURL",
}


class Verifier:
    """The capability `Verifies`."""

    def usable(self, media: Sequence[Media]) -> Sequence[Media]:
        """All images, else the first video: one task takes either."""
        typed = [Media(one.url, one.type or _type_of(one.url)) for one in media]
        images = [one for one in typed if one.type in _IMAGES]
        return images or [one for one in typed if one.type in _VIDEOS][:1]

    def ask(self, call: Call, account: Account, question: Question) -> Outcome:
        """POST /tasks/v1/verifications; the answer comes to the hook. Our id makes that a task exists once."""
        body = {
            "id": question.id,
            "prompt": question.prompt,
            "expiration": {"timeout": question.timeout_s},
            "attachments": [{"url": one.url, "media_type": one.type} for one in self.usable(question.media)],
        }
        try:
            answer = send(call, account, "POST", "verifications", body, root="tasks/v1")
        except NotSent as error:
            return Temporary(error.reason)
        except AnswerLost as error:
            return lost(error.reason, error.status)
        return Accepted(http_status=answer.status) if 200 <= answer.status < 300 else refused(answer, body)


def _type_of(url: str) -> str:
    path = urlsplit(url).path.lower()
    return next((kind for ending, kind in _ENDINGS.items() if path.endswith(ending)), "")
