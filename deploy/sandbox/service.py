"""What the three services share: faults around the work, the journal and the control surface."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from deploy.sandbox.config import Options
from deploy.sandbox.exchange import Answer, RefusedError, Request, frozen
from deploy.sandbox.faults import Faults, Rule
from deploy.sandbox.journal import Entry, Journal
from deploy.sandbox.routing import Route
from deploy.sandbox.script import Player, Step, read_scripts
from deploy.sandbox.server import Server, Wire
from deploy.sandbox.webhooks import MODES, Delivery, Emitter

EARLY_WAIT_S = 2.0
O = TypeVar("O", bound=Options)  # noqa: E741 - reads as the options of a service


class Service(Generic[O]):
    """One port. A subclass gives `routes`, `guard`, `error`, `advance` and its state, which `lock` guards."""

    def __init__(self, port: int, options: O, webhook_backoff_s: float = 0.5) -> None:
        self.lock = threading.RLock()
        self.options = self._first_options = options
        self.faults = Faults()
        self.journal = Journal()
        self.emitter = Emitter(webhook_backoff_s)
        self.player = Player(self._play)
        self._halt = threading.Event()
        self._server = Server(port, self._serve)
        self.url = self._server.url
        self._control_routes: tuple[Route, ...] = (
            Route("GET", "/healthz", lambda request: Answer(200, {"status": "ok"})),
            Route("GET", "/_control", lambda request: Answer(200, self._settings())),
            Route("POST", "/_control", self._post_control),
            Route("POST", "/_step", self._post_step),
            Route("POST", "/_script", self._post_script),
            Route("POST", "/_reset", self._post_reset),
            Route("GET", "/_log", lambda request: Answer(200, self.journal.as_json(request.query))),
            Route("GET", "/_state", self._get_state),
        )

    # What a subclass says.

    def routes(self) -> tuple[Route, ...]:
        raise NotImplementedError

    def guard(self, request: Request) -> None:
        """Raise RefusedError unless the request is authorised."""

    def error(self, status: int, message: str) -> Answer:
        """An error in the service's own shape."""
        return Answer(status, {"message": message})

    def advance(self, alarm: str, step: Step, *, scripted: bool = False) -> dict[str, Any]:
        """Apply one step to an alarm; RefusedError when there is no such alarm."""
        raise RefusedError(self.error(404, "nothing to step here"))

    def configure(self, name: str, value: Any) -> bool:
        """Take a control of the service's own; False when it has none of that name."""
        return False

    def forget(self) -> None:
        """Drop all state."""

    def state(self) -> dict[str, Any]:
        return {}

    # Life.

    def start(self) -> None:
        self.emitter.start()
        self.player.start()
        self._server.start()

    def stop(self) -> None:
        self._halt.set()
        self.player.stop()
        self.emitter.stop()
        self._server.stop()

    def now(self) -> float:
        """Epoch seconds by this service's clock."""
        return time.time()

    def now_text(self) -> str:
        """ISO-8601 UTC with milliseconds and `Z`."""
        moment = datetime.fromtimestamp(self.now(), UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    # Serving.

    def _serve(self, request: Request, wire: Wire) -> None:
        if request.path == "/healthz" or request.path.startswith("/_"):
            wire.send(self._dispatch(self._control_routes, request).raw(time.time()))
            return
        entry = self.journal.open(request)
        answer = self._answer(request, entry)
        if answer is None:
            entry.done(None)
            wire.close()
        else:
            self._send(request, answer, wire, entry)

    def _answer(self, request: Request, entry: Entry) -> Answer | None:
        """Latency, then a hang, then a failure instead of the work; None means close without an answer."""
        halt = self._halt
        if self.faults.latency_ms and halt.wait(self.faults.latency_ms / 1000):
            return None
        hang = self._fault("hang", request, entry)
        fail = self._fault("fail", request, entry)
        answer = None
        if hang is not None:
            if hang.work == "before":
                answer = self._work(request, fail)
            if halt.wait(hang.seconds) or hang.work == "never":
                return None
        return answer or self._work(request, fail)

    def _work(self, request: Request, fail: Rule | None) -> Answer:
        if fail is not None:
            return Answer(int(fail.status), fail.body, fail.headers)
        try:
            self.guard(request)
        except RefusedError as refusal:
            return refusal.answer
        return self._dispatch(self.routes(), request)

    def _send(self, request: Request, answer: Answer, wire: Wire, entry: Entry) -> None:
        raw = answer.raw(self.now())
        if self._fault("drop_answer", request, entry):
            entry.done(None)
            wire.close()
        elif drip := self._fault("drip", request, entry):
            halt = self._halt
            for index in range(len(raw)):
                if not wire.send(raw[index : index + 1]) or halt.wait(drip.seconds):
                    wire.close()
                    break
            entry.done(answer.status)
        elif self._fault("truncate", request, entry):
            entry.done(answer.status)
            wire.send(answer.raw(self.now(), missing=64))
            wire.close()
        else:
            # Noted before the first byte leaves: whoever has read the answer finds it in the journal.
            entry.done(answer.status)
            wire.send(raw)

    def _fault(self, kind: Any, request: Request, entry: Entry) -> Rule | None:
        rule = self.faults.take(kind, request.method, request.path)
        if rule is not None:
            entry.note(kind)
        return rule

    def _dispatch(self, routes: tuple[Route, ...], request: Request) -> Answer:
        for route in routes:
            captured = route.match(request.method, request.path)
            if captured is not None:
                try:
                    return route.handler(request, *captured)
                except RefusedError as refusal:
                    return refusal.answer
        return self.error(404, "Not found")

    def await_early(self, delivery: Delivery | None) -> None:
        """In mode `early`, hold the answer back until the first webhook was taken, 2 s at most."""
        if delivery is not None and self.emitter.mode == "early":
            delivery.done.wait(EARLY_WAIT_S)

    # Control.

    def _post_control(self, request: Request) -> Answer:
        values = _json_object(request)
        try:
            with self.lock:
                for name, value in values.items():
                    self._set(name, value)
        except ValueError as error:
            return Answer(400, {"message": str(error)})
        return Answer(200, self._settings())

    def _set(self, name: str, value: Any) -> None:
        if name == "webhooks":
            if value not in MODES:
                raise ValueError(f"webhooks should be one of {', '.join(MODES)}")
            self.emitter.mode = value
        elif name == "delay_s":
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise ValueError("delay_s should be a number of seconds")
            self.emitter.delay_s = value
        elif name == "expire_token" and isinstance(value, bool):
            self.configure(name, value)
        elif not self.faults.set(name, value) and not self.configure(name, value):
            self.options = self.options.changed({name: value})

    def _settings(self) -> dict[str, Any]:
        modes = {"webhooks": self.emitter.mode, "delay_s": self.emitter.delay_s}
        return {**self.faults.as_json(), **modes, **vars(self.options)}

    def _post_step(self, request: Request) -> Answer:
        step = _json_object(request)
        if not isinstance(step.get("id"), str | int) or not isinstance(step.get("event"), str):
            return Answer(400, {"message": "a step holds id and event"})
        with self.lock:
            return Answer(200, self.advance(str(step["id"]), step))

    def _play(self, alarm: str, step: Step) -> None:
        with self.lock:
            try:
                self.advance(alarm, step, scripted=True)
            except RefusedError:
                return

    def _post_script(self, request: Request) -> Answer:
        try:
            scripts = read_scripts(_json_object(request))
        except ValueError as error:
            return Answer(400, {"message": str(error)})
        self.player.load(scripts)
        return Answer(200, {"scripts": len(scripts)})

    def _post_reset(self, request: Request) -> Answer:
        """State, controls, options, scripts, pending webhooks; the webhook address and issued tokens stay."""
        with self.lock:
            self._halt.set()
            self._halt = threading.Event()
            self.options = self._first_options
            self.faults.clear()
            self.player.reset()
            self.emitter.reset()
            self.journal.clear()
            self.forget()
        return Answer(200, {"status": "reset"})

    def _get_state(self, request: Request) -> Answer:
        with self.lock:
            return Answer(200, frozen({**self.state(), "webhooks": self.emitter.as_json()}))


def _json_object(request: Request) -> dict[str, Any]:
    try:
        document = request.json() if request.body else {}
    except ValueError as error:
        raise RefusedError(Answer(400, {"message": f"not JSON: {error}"})) from None
    if not isinstance(document, dict):
        raise RefusedError(Answer(400, {"message": "should be an object"}))
    return document
