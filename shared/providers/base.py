"""What a provider is: one folder that declares small capabilities; code elsewhere asks "can you?"."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from shared.domain.alarm import Address, Coordinates, DispatchRequest, Person, Signal, Site
from shared.domain.cadence import Cadence
from shared.domain.drift import Listed
from shared.domain.lifecycle import Status
from shared.domain.outcome import Outcome, Permanent, Temporary, Unknown


class BadSignature(Exception):
    """The delivery does not carry a signature or secret of ours."""


class HookNotConfigured(Exception):
    """No webhook secret is configured for this account, so nothing can be trusted."""


class BadDelivery(Exception):
    """The delivery is authentic, but its body is not what the provider documents."""


class ReadFailed(Exception):
    """A read gave no usable answer; `outcome` says whether it is worth another try."""

    def __init__(self, outcome: Temporary | Permanent | Unknown) -> None:
        """Keep the outcome; its reason never quotes a body."""
        super().__init__(outcome.reason)
        self.outcome = outcome


@dataclass(frozen=True)
class Account:
    """A customer's account at a provider. Credentials never show in `repr`."""

    id: str
    provider: str
    base_url: str
    environment: str
    site_mode: str = "rest"
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Token:
    """A bearer token and the moment (aware UTC) at which it should be renewed."""

    value: str = field(repr=False)
    renew_at: datetime = field()


class TokenStore(Protocol):
    """Where tokens are kept between calls and processes (encrypted rows of the store)."""

    def get(self, account_id: str) -> Token | None:
        """The cached token, None when there is none or it is due for renewal."""

    def put(self, account_id: str, token: Token) -> None:
        """Keep a token for every process."""

    def drop(self, account_id: str, value: str) -> None:
        """Forget a token that was refused (only if it is still the one that is kept)."""


@dataclass(frozen=True)
class Call:
    """The frame of one exchange with a provider.

    `deadline` is a moment on the boot-time clock (`shared.clock.boot_time()`, seconds) that ends everything: token,
    DNS, connect, send, read. `before_send` runs after connecting and before the first byte of the request that changes
    something; it raises to forbid the send. It is not called for token requests or reads.
    """

    deadline: float
    tokens: TokenStore
    before_send: Callable[[], None] | None = None
    # A listing is given up after so many seconds without a byte.
    idle_s: float = 30.0


@dataclass(frozen=True)
class Reading:
    """What a read said of one alarm; `status` is None for a word that nobody knows."""

    provider_alarm_id: str
    status: Status | None
    raw_status: str
    active: bool
    completed: bool = False
    test: bool = False
    site_provider_id: str | None = None
    created_at: datetime | None = None
    eta_seconds: int | None = None


@dataclass(frozen=True)
class Listing:
    """The active alarms of an account. `complete` is False when the end of the list was not seen.

    `provider_time` is the provider's own clock (HTTP `Date`) at the answer, so that ages compare like with like.
    """

    alarms: Sequence[Reading]
    complete: bool
    provider_time: datetime | None


@dataclass(frozen=True)
class Delivered:
    """One event of a webhook delivery, as the door stores it; `body` is the event's own JSON."""

    event_id: str | None
    subject: str | None
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Verdict:
    """What was answered to a question: yes, no, or inconclusive with the provider's word for why."""

    task_id: str
    answer: str
    reason: str = ""


@dataclass(frozen=True)
class ProviderEvent:
    """One event in our words. `status` is None for an event that moves nothing; `entry` is free of personal data.

    `name` is the provider's own word. `reread` asks for a read of the alarm (an event that says only "changed").
    """

    name: str
    event_id: str | None
    provider_alarm_id: str | None
    site_provider_id: str | None
    at: datetime | None
    status: Status | None
    entry: str
    eta_seconds: int | None = None
    known: bool = True
    reread: bool = False
    # Set on an answer to a question; it moves no alarm at the provider.
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Media:
    """A picture or clip; `type` is its media type, "" where nobody named one."""

    url: str = field(repr=False)
    type: str = ""


@dataclass(frozen=True)
class Question:
    """What somebody is to look for before an alarm goes. `id` is ours, `timeout_s` in seconds."""

    id: str
    prompt: str
    timeout_s: int
    media: Sequence[Media] = field(repr=False)


class Verifies(Protocol):
    """Somebody at the provider looks at pictures and answers yes or no; the answer comes to the hook as a `Verdict`."""

    def usable(self, media: Sequence[Media]) -> Sequence[Media]:
        """What of it can be shown in one question; empty when nothing can. No I/O."""

    def ask(self, call: Call, account: Account, question: Question) -> Outcome:
        """Ask. Anything but `Accepted` means that no answer is to be waited for."""


class Dispatches(Protocol):
    """Create, cancel and read an alarm."""

    def check(self, account: Account, request: DispatchRequest) -> Sequence[str]:
        """Reasons for which the provider would refuse the request; empty when it is fine. No I/O."""

    def doubts(self, account: Account, request: DispatchRequest) -> Sequence[str]:
        """Reasons for which the provider may not cover the place. The alarm is sent, and a person told. No I/O."""

    def create(self, call: Call, account: Account, request: DispatchRequest) -> Outcome:
        """Ask for a response. `Accepted.provider_id` is the provider's alarm id, never empty."""

    def cancel(self, call: Call, account: Account, provider_alarm_id: str, pin: str | None) -> Outcome:
        """Ask to stop the response. Already cancelled or closed is `Accepted(settled=True)`."""

    def read(self, call: Call, account: Account, provider_alarm_id: str) -> Reading:
        """The alarm as the provider has it now. Raises ReadFailed."""


class SiteLookup(Protocol):
    """For providers whose active alarms can be listed; alarms of one site then share one response."""

    def active(self, call: Call, account: Account) -> Listing:
        """All active alarms of the account. Raises ReadFailed."""


class Webhooks(Protocol):
    """Verify, split and interpret what a provider delivers."""

    def verify(self, account: Account, headers: Sequence[tuple[str, str]], raw: bytes) -> None:
        """Raise BadSignature or HookNotConfigured; compare bytes in constant time, over the raw body."""

    def split(self, raw: bytes) -> Sequence[Delivered]:
        """The events of one delivery. Raises BadDelivery."""

    def interpret(self, account: Account, body: bytes) -> ProviderEvent:
        """One stored event in our words. Never raises for an unknown word."""


class WebhookRegistration(Protocol):
    """Telling the provider where to deliver. `replaces` says what a registration takes the place of."""

    replaces: str

    def problems(self, account: Account, url: str) -> Sequence[str]:
        """Reasons for which the address cannot be registered; empty when it can. No I/O."""

    def register(self, call: Call, account: Account, url: str) -> Outcome:
        """Have events delivered to `url`, with the account's first webhook secret. Repeating it is safe."""

    def registered(self, call: Call, account: Account) -> str:
        """The address that is registered now. Raises ReadFailed: Permanent where it cannot be read back."""


class Notes(Protocol):
    """Text from the operator to whoever responds."""

    def parts(self, account: Account, text: str) -> Sequence[str]:
        """The texts as which a note goes out, in order; empty when nothing of it can be sent. No I/O."""

    def send_note(self, call: Call, account: Account, provider_alarm_id: str, part: str) -> Outcome:
        """Send one part; `Accepted.provider_id` is its id at the provider, "" where there is none."""


@dataclass(frozen=True)
class Message:
    """One message that stands with an alarm at its provider; `sender` is a role or a name as the provider gives it."""

    id: str
    at: datetime | None
    sender: str = field(repr=False)
    text: str = field(repr=False)


class NoteStream(Protocol):
    """What was written about an alarm at the provider, by us and by others."""

    def messages(self, call: Call, account: Account, provider_alarm_id: str) -> Sequence[Message]:
        """All texts, oldest first, ours among them. Raises ReadFailed."""


class Events(Protocol):
    """Structured events of an alarm's devices; `batch` is how many go into one call."""

    batch: int

    def has_word(self, account: Account, signal: Signal) -> bool:
        """Whether the provider's vocabulary can say anything of the signal. No I/O."""

    def send_events(self, call: Call, account: Account, provider_alarm_id: str, signals: Sequence[Signal]) -> Outcome:
        """Send in the order given what there are words for. `Permanent` where there are none for any."""


class Locations(Protocol):
    """Where the person of a moving alarm is now."""

    def send_location(self, call: Call, account: Account, provider_alarm_id: str, point: Coordinates) -> Outcome:
        """Replace the position that the provider has. Harmless when repeated."""


class People(Protocol):
    """More people whom the provider may call; it takes them once per alarm."""

    def check_person(self, account: Account, person: Person) -> Sequence[str]:
        """Reasons for which the provider would refuse this person; empty when it is fine. No I/O."""

    def send_people(self, call: Call, account: Account, provider_alarm_id: str, people: Sequence[Person]) -> Outcome:
        """Add these people, once. `Call.before_send` runs before the first byte, so a caller knows whether it left."""


class PersonUpdates(Protocol):
    """More about the alarm's own person: height, weight, date of birth."""

    def update_person(
        self,
        call: Call,
        account: Account,
        provider_alarm_id: str,
        owner_id: str,
        person: Person | None,
        more: Mapping[str, Any],
    ) -> Outcome:
        """Tell all that is known. Harmless when repeated. `owner_id` is the incident's id that the create carried."""


@dataclass(frozen=True)
class Certified:
    """What came of a request for a certificate; `answer` is the provider's own JSON, if it answered any."""

    outcome: Outcome
    answer: Any = field(default=None, repr=False)


class Certificates(Protocol):
    """Monitoring certificates for a home insurance."""

    def check_address(self, account: Account, address: Address) -> Sequence[str]:
        """Reasons for which the provider would refuse the address; empty when it is fine. No I/O."""

    def certify(self, call: Call, account: Account, address: Address) -> Certified:
        """Ask for one certificate. Not repeated after `Unknown`, since each call makes one."""


class Sites(Protocol):
    """A directory of fixed sites kept at the provider."""

    def check_site(self, account: Account, site: Site) -> Sequence[str]:
        """Reasons for which the provider would refuse the site; empty when it is fine. No I/O."""

    def put_site(self, call: Call, account: Account, site: Site, *, look_first: bool) -> Outcome:
        """Create or update the site; `look_first` searches by reference before a create whose twin may exist.

        `SiteStored` where the answer tells of coverage. A known id that is gone is looked for by reference.
        """

    def delete_site(self, call: Call, account: Account, site: Site) -> Outcome:
        """Take the site out of the directory; one that is not there any more is `Accepted` too."""

    def as_listed(self, account: Account, site: Site) -> Listed:
        """The site as the directory would list it, had it been told everything. No I/O."""

    def list_sites(self, call: Call, account: Account) -> Iterator[Listed]:
        """Every record as a stream, deleted ones marked. Raises ReadFailed unless the listing's end was seen.

        A record may come twice; what came before a ReadFailed is part of an unknown whole.
        """


class Probe(Protocol):
    """Whether an account can be used, found out without changing anything at the provider."""

    def probe(self, call: Call, account: Account) -> Outcome:
        """`Accepted` when the provider is reachable and takes the credentials; else why not."""


@dataclass(frozen=True)
class Specimen:
    """A webhook delivery as the provider would send it, made here for a rehearsal; `status` is what it must lead to."""

    name: str
    status: Status
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Specimens(Protocol):
    """Deliveries to try a hook with."""

    def specimens(self, account: Account, provider_alarm_id: str) -> Sequence[Specimen]:
        """One for each status that the provider's events tell, in the order of a response, authenticated as ours."""


class BulkImport(Protocol):
    """A whole portfolio of sites as one file, for accounts of `site_mode` csv."""

    def upload(self, call: Call, account: Account, sites: Iterable[Site], callback_url: str) -> Outcome:
        """Make the directory hold these sites and no other; told of its effect at `callback_url`. May be repeated."""


@dataclass(frozen=True)
class Provider:
    """A provider by its capabilities. `cannot` names, per missing capability, why it answers 409.

    `check_account` gives the problems of host, environment and credentials; empty when the account can be used.
    `cadence` says how often an open alarm of an account is asked for.
    """

    name: str
    dispatch: Dispatches
    webhooks: Webhooks
    cadence: Callable[[Account], Cadence]
    lookup: SiteLookup | None = None
    registration: WebhookRegistration | None = None
    verifier: Verifies | None = None
    notes: Notes | None = None
    note_stream: NoteStream | None = None
    events: Events | None = None
    locations: Locations | None = None
    people: People | None = None
    person: PersonUpdates | None = None
    certificates: Certificates | None = None
    sites: Sites | None = None
    bulk: BulkImport | None = None
    probe: Probe | None = None
    specimens: Specimens | None = None
    needs_site: bool = False
    cannot: Mapping[str, str] = field(default_factory=dict)
    check_account: Callable[[Account], Sequence[str]] = field(default=lambda account: ())
