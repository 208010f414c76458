"""Refusals: understood requests that are turned down."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple


class Refused(Exception):
    """
    An action was understood and turned down.

    Subclasses name one reason each. ``code`` is part of the REST interface and never changes;
    ``status`` is the HTTP status that the interface answers with. The message is shown to site
    staff, so it never says which arm, product or block.

    ``events`` are facts to keep although nothing else is kept: the floor of a request appends them
    to the audit trail in a transaction of their own after the refused one has been rolled back.
    Each is the keyword arguments of one call of ``trialsite.audit.services.record`` or
    ``record_sealed``. ``messages`` leave likewise: each is the keyword arguments of one call of
    ``trialsite.outbox.services.queue``.
    """

    code: ClassVar[str] = "refused"
    status: ClassVar[int] = 409
    events: tuple[dict[str, Any], ...] = ()
    messages: tuple[dict[str, Any], ...] = ()

    def __init__(self, detail: str) -> None:
        super().__init__(detail)

    def leave(self, event: dict[str, Any]) -> None:
        """Keep one more fact although nothing else is kept."""
        self.events = (*self.events, event)


class NotFound(Refused):
    """The thing does not exist, or lies outside what the person may see: both look the same."""

    code = "not_found"
    status = 404


class FieldFault(NamedTuple):
    """One value that cannot be accepted: where, a stable code, and a sentence."""

    path: tuple[str, ...]
    code: str
    detail: str

    @property
    def pointer(self) -> str:
        """Return the JSON pointer into the body as a URI fragment (RFC 6901 sections 4 and 6)."""
        return "#" + "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in self.path)


class FieldsInvalid(Refused):
    """Values of the request that the trial does not allow; found by a service, answered like bad input."""

    code = "invalid"
    status = 400

    def __init__(self, *faults: FieldFault) -> None:
        super().__init__("Some fields are not acceptable.")
        self.faults = faults
