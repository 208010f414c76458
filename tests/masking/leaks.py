"""
Leaks, planted on purpose: each tells the arm in one answer, and the comparison must find it.

They are planted in the process, never in the product's files. What they know of the arms, by
randomization number, is given to the process for this alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from unittest import mock

Arms = Mapping[str, int]
FIELD, MESSAGE, LABEL, ORDER, MAIL = "field", "message", "label", "order", "mail"
COMPANY = "company"
# Those that tell which arm is which; COMPANY tells only who is with whom.
TELLING_THE_ARM = (FIELD, MESSAGE, LABEL, ORDER, MAIL)
ALL = (*TELLING_THE_ARM, COMPANY)


def plant(names: Sequence[str], *, arms: Arms, face: str) -> None:
    """Plant the named leaks that belong to this face."""
    for name in names:
        where, how = _LEAKS[name]
        if where == face:
            how(arms)


def _arm(participant_id: Any, arms: Arms) -> int:
    from randomization.models import Allocation

    number = Allocation.objects.filter(pk=participant_id).values_list("randomization_number", flat=True)
    return arms.get(number.first() or "", 0)


def _replace(target: str, new: Any) -> None:
    mock.patch(target, new).start()


def _a_field_that_depends_on_the_arm(arms: Arms) -> None:
    from trialsite.api.masked.participants import OneParticipant, ParticipantOutput

    class Leaking(ParticipantOutput):
        def to_representation(self, instance: Any) -> Any:
            return {**super().to_representation(instance), "regimen": "xy"[_arm(instance.pk, arms)]}

    OneParticipant.Output = Leaking


def _a_longer_message_for_one_arm(arms: Arms) -> None:
    from supply.services.scanning import KitMismatch
    from supply.services.scanning import scanned_kit as original

    def leaking(kit_scan: str, infusion: Any) -> Any:
        try:
            return original(kit_scan, infusion)
        except KitMismatch as refusal:
            refusal.args = (f"{refusal}{' ' * _arm(infusion.participant_id, arms)}",)
            raise

    _replace("supply.services.dispensing.scanned_kit", leaking)


def _one_byte_of_the_label(arms: Arms) -> None:
    from supply.labels import label_pdf as original

    def leaking(content: Any) -> bytes:
        return original(content) + b"\n "[arms[content.randomization_number] :][:1]

    _replace("supply.services.desk.label_pdf", leaking)


def _rows_in_the_order_of_arms(arms: Arms) -> None:
    from django.db.models import Case, IntegerField, Value, When

    from trialsite.api.masked.kits import Kits

    original: Callable[[Any], Any] = Kits.get_queryset

    def leaking(self: Any) -> Any:
        number = "participant__allocation__randomization_number"
        ones = [randomization_number for randomization_number, arm in arms.items() if arm]
        arm = Case(
            When(**{f"{number}__in": ones}, then=Value(1)), default=Value(0), output_field=IntegerField()
        )
        return original(self).annotate(rank=arm).order_by("rank", "released_at", "number")

    Kits.get_queryset = leaking  # type: ignore[method-assign]


def _a_word_in_a_mail(arms: Arms) -> None:
    from supply.services import schedule

    original = schedule._words

    def leaking(infusion: Any, kind: str) -> tuple[str, str]:
        subject, body = original(infusion, kind)
        return subject, body + "Allow time to thaw.\n" * _arm(infusion.participant_id, arms)

    _replace("supply.services.schedule._words", leaking)


def _who_is_with_whom(arms: Arms) -> None:
    from trialsite.api.masked.infusions import InfusionOutput, OneInfusion

    class Leaking(InfusionOutput):
        def to_representation(self, instance: Any) -> Any:
            alike = _arm(instance.participant_id, arms) == next(iter(arms.values()))
            return {**super().to_representation(instance), "batch": "xy"[alike]}

    OneInfusion.Output = Leaking


_LEAKS: dict[str, tuple[str, Callable[[Arms], None]]] = {
    FIELD: ("masked", _a_field_that_depends_on_the_arm),
    MESSAGE: ("masked", _a_longer_message_for_one_arm),
    LABEL: ("unmasked", _one_byte_of_the_label),
    ORDER: ("masked", _rows_in_the_order_of_arms),
    MAIL: ("worker", _a_word_in_a_mail),
    COMPANY: ("masked", _who_is_with_whom),
}
