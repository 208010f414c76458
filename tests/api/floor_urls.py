"""A small interface on the floor: each call writes one message, or is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, ClassVar

from django.db import OperationalError
from django.urls import path
from psycopg.errors import DeadlockDetected
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tests.people import NOON
from trialsite.accounts.roles import Permission
from trialsite.api.floor import Outcome, perform, perform_in_two
from trialsite.api.views import Endpoint, checked, person
from trialsite.audit.kinds import Kind
from trialsite.errors import Refused
from trialsite.outbox.models import Message

deadlocks = threading.local()


class Forbidden(Refused):
    code = "state_forbids"


def a_message(subject: str) -> Message:
    return Message.objects.create(
        dedupe_key=subject + str(Message.objects.count()),
        recipient="a@puren.example",
        subject=subject,
        body="",
        created_at=NOON,
        next_attempt_at=NOON,
    )


class _Write(Endpoint):
    permissions: ClassVar[dict[str, Permission | None]] = {"POST": None}

    class Input(serializers.Serializer[Any]):
        subject = serializers.CharField()
        weight_kg = serializers.DecimalField(max_digits=5, decimal_places=2, required=False)
        at = serializers.DateTimeField(required=False)
        signature = serializers.DictField(required=False)


class Kept(_Write):
    """The answer is kept."""

    def post(self, request: Request) -> Response:
        fields = checked(self.Input, request)

        def work() -> Outcome:
            message = a_message(fields["subject"])
            return Outcome(201, {"id": str(message.pk), "weight_kg": str(fields.get("weight_kg"))})

        return perform(request, work)


class Made(_Write):
    """The answer is made anew from its resource."""

    def post(self, request: Request) -> Response:
        fields = checked(self.Input, request)

        def work() -> Outcome:
            message = a_message(fields["subject"])
            return Outcome(200, {"secret": "arm"}, resource=str(message.pk))

        return perform(request, work, replay=lambda resource: Outcome(200, {"again": resource}))


class Stopped(_Write):
    """Writes, and is then refused, leaving a fact on the trail."""

    replay: Callable[[str], Outcome] | None = None

    def post(self, request: Request) -> Response:
        fields, by = checked(self.Input, request), person(request)

        def work() -> Outcome:
            a_message(fields["subject"])
            refusal = Forbidden("It is stopped.")
            refusal.leave({"kind": Kind.BEDSIDE_STOPPED, "by": by, "at": NOON, "about": {}})
            raise refusal

        return perform(request, work, replay=self.replay)


class StoppedAndMade(Stopped):
    """The same where answers are made anew."""

    @staticmethod
    def replay(resource: str) -> Outcome:
        return Outcome(200, {"again": resource})


class Deadlocked(_Write):
    """Meets a deadlock twice."""

    def post(self, request: Request) -> Response:
        deadlocks.left = 2

        def work() -> Outcome:
            a_message("deadlock")
            if deadlocks.left:
                deadlocks.left -= 1
                raise OperationalError("deadlock detected") from DeadlockDetected()
            return Outcome(200, {})

        return perform(request, work)


class Unreachable(_Write):
    """The database goes away."""

    def post(self, request: Request) -> Response:
        def work() -> Outcome:
            raise OperationalError("connection to 10.0.0.7 failed: password of irt_masked")

        return perform(request, work)


class InTwo(_Write):
    """Two transactions; crashes between them if told so."""

    def post(self, request: Request) -> Response:
        fields = checked(self.Input, request)

        def between(resource: str) -> None:
            if fields["subject"] == "crash":
                raise KeyboardInterrupt

        return perform_in_two(
            request,
            intent=lambda: str(a_message("intent").pk),
            between=between,
            effect=lambda resource: Outcome(201, {"arm": "A"}, resource),
            replay=lambda resource: Outcome(201, {"id": resource}),
        )


class Failing(Endpoint):
    """A bug."""

    permissions: ClassVar[dict[str, Permission | None]] = {"GET": None}

    def get(self, _: Request) -> Response:
        raise RuntimeError("secret of the traceback")


class Undeclared(Endpoint):
    """Says nothing about who may call it."""

    def get(self, _: Request) -> Response:
        return Response({})


urlpatterns = [
    path("kept", Kept.as_view()),
    path("made", Made.as_view()),
    path("stopped", Stopped.as_view()),
    path("stopped-and-made", StoppedAndMade.as_view()),
    path("deadlocked", Deadlocked.as_view()),
    path("unreachable", Unreachable.as_view()),
    path("in-two", InTwo.as_view()),
    path("failing", Failing.as_view()),
    path("undeclared", Undeclared.as_view()),
]
