"""Admin pages of the trial, its participants and their allocations: read-only, nothing sealed."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.admin import display, register
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from randomization.models import (
    AccidentalUnblinding,
    Allocation,
    Consent,
    Correction,
    Discontinuation,
    Participant,
    RandomizationError,
    ScreeningRevision,
    Stratum,
    Transfer,
    TrialVersion,
)
from trialsite.admin import showing
from trialsite.admin.events import about, visible_events
from trialsite.admin.pages import MaskedModelAdmin
from trialsite.admin.site import masked_site
from trialsite.audit.models import VisibleEvent


def trial_name() -> str:
    """Return the protocol and title of the trial in force, else of the one loaded last."""
    versions = TrialVersion.objects.order_by(F("activated_at").desc(nulls_last=True), "-loaded_at")
    named = versions.values_list("protocol", "document__title").first()
    return f"{named[0]}: {named[1]}" if named else "trialsite"


masked_site.trial_name = trial_name


@register(TrialVersion, site=masked_site)
class TrialVersionAdmin(MaskedModelAdmin):
    fields = (
        "protocol",
        "version",
        "content_hash",
        "loaded_at",
        "loaded_by",
        "activated_at",
        "activated_by",
        "public_document",
    )
    list_display = ("protocol", "version", "loaded_at", "activated_at", "content_hash")
    search_fields = ("protocol", "version", "content_hash")
    date_hierarchy = "loaded_at"

    @display(description="document")
    def public_document(self, version: TrialVersion) -> SafeString:
        return format_html("<pre>{}</pre>", showing.indented(version.document))


@register(Stratum, site=masked_site)
class StratumAdmin(MaskedModelAdmin):
    """Which strata there are; not how long their lists are, nor how far they are used."""

    fields = ("code", "levels")
    list_display = ("code", "levels")
    search_fields = ("code",)
    ordering = ("code",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Stratum]:
        return super().get_queryset(request).only(*self.fields)


@register(Participant, site=masked_site)
class ParticipantAdmin(MaskedModelAdmin):
    """Participants; not the keyed digest of their hospital identifier."""

    site_path = "site"
    fields = (
        "id",
        "screening_number",
        "randomization_number",
        "site",
        "status",
        "unmet",
        "sex",
        "birth_date",
        "weight_kg",
        "consented_at",
        "consent_version",
        "eligibility",
        "measurements",
        "rescreens",
        "stratum_levels",
        "true_stratum_levels",
        "trial_version",
        "created_at",
        "created_by",
    )
    list_display = ("screening_number", "randomization_number", "site", "status", "created_at")
    list_filter = ("site", "status", "sex")
    search_fields = ("screening_number", "allocation__randomization_number")
    date_hierarchy = "created_at"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        people: QuerySet[Any] = (
            super().get_queryset(request).annotate(number=F("allocation__randomization_number"))
        )
        people = people.select_related("site", "created_by", "trial_version", "rescreens")
        return people.defer("identity_hash", "rescreens__identity_hash")

    @display(ordering="number", empty_value="-")
    def randomization_number(self, participant: Any) -> str:
        return participant.number or ""


class _OfAParticipant(MaskedModelAdmin):
    """A record of one participant; its history is the participant's."""

    site_path = "participant.site"
    search_fields: ClassVar[tuple[str, ...]] = ("participant__screening_number",)
    list_select_related: ClassVar[tuple[str, ...]] = ("participant__site", "recorded_by")

    def events_of(self, record: Any) -> QuerySet[VisibleEvent]:
        return visible_events().filter(about(str(record.participant_id))).order_by("position")


@register(Consent, site=masked_site)
class ConsentAdmin(_OfAParticipant):
    """Consent as it was given and withdrawn, the last act at the end."""

    fields = (
        "participant",
        "act",
        "version",
        "giver",
        "relationship",
        "scope",
        "reason",
        "at",
        "recorded_at",
        "recorded_by",
    )
    list_display = ("participant", "act", "version", "giver", "at", "recorded_at", "recorded_by")
    list_filter = ("participant__site", "act", "giver")
    date_hierarchy = "at"


@register(ScreeningRevision, site=masked_site)
class ScreeningRevisionAdmin(_OfAParticipant):
    """How a screening came out otherwise before randomization."""

    fields = ("participant", "old", "new", "reason", "at", "recorded_by")
    list_display = ("participant", "at", "recorded_by")
    list_filter = ("participant__site",)
    date_hierarchy = "at"


@register(Transfer, site=masked_site)
class TransferAdmin(_OfAParticipant):
    fields = ("participant", "from_site", "to_site", "reason", "at", "recorded_at", "recorded_by")
    list_display = ("participant", "from_site", "to_site", "at", "recorded_by")
    list_filter = ("from_site", "to_site")
    date_hierarchy = "at"
    list_select_related = ("participant__site", "from_site", "to_site", "recorded_by")


@register(Discontinuation, site=masked_site)
class DiscontinuationAdmin(_OfAParticipant):
    fields = ("participant", "scope", "reason", "at", "recorded_at", "recorded_by")
    list_display = ("participant", "scope", "at", "recorded_at", "recorded_by")
    list_filter = ("participant__site", "scope")
    date_hierarchy = "at"


@register(Correction, site=masked_site)
class CorrectionAdmin(_OfAParticipant):
    """What was wrong in a participant's record, old and new; of the hospital identifier neither is kept."""

    fields = ("participant", "pointer", "old", "new", "reason", "at", "recorded_by")
    list_display = ("participant", "pointer", "old", "new", "at", "recorded_by")
    list_filter = ("participant__site",)
    search_fields = ("participant__screening_number", "pointer")
    date_hierarchy = "at"


@register(RandomizationError, site=masked_site)
class RandomizationErrorAdmin(_OfAParticipant):
    """What went wrong with a randomization, as reported; later reports stand beside earlier ones."""

    fields = (
        "participant",
        "kind",
        "criteria",
        "stratum_used",
        "true_stratum",
        "duplicate_of",
        "reason",
        "known_at",
        "recorded_at",
        "recorded_by",
    )
    list_display = ("participant", "kind", "known_at", "recorded_at", "recorded_by")
    list_filter = ("participant__site", "kind")
    search_fields = ("participant__screening_number", "duplicate_of__screening_number")
    date_hierarchy = "recorded_at"


@register(Allocation, site=masked_site)
class AllocationAdmin(MaskedModelAdmin):
    """Who was randomized, when and by whom; not the position on the list."""

    site_path = "participant.site"
    fields = (
        "participant",
        "randomization_number",
        "stratum",
        "randomized_at",
        "randomized_by",
        "recorded_at",
        "paper_reason",
        "entered_at",
    )
    list_display = ("randomization_number", "participant", "stratum_code", "randomized_at", "randomized_by")
    list_filter = ("participant__site", "stratum")
    search_fields = ("randomization_number", "participant__screening_number")
    date_hierarchy = "randomized_at"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Allocation]:
        allocations = super().get_queryset(request).select_related("participant__site", "randomized_by")
        return allocations.defer("position", "slot")

    @display(description="stratum", ordering="stratum_id")
    def stratum_code(self, allocation: Allocation) -> str:
        return str(allocation.stratum_id)


@register(AccidentalUnblinding, site=masked_site)
class AccidentalUnblindingAdmin(MaskedModelAdmin):
    """That one was reported; what happened is sealed and stays so."""

    site_path = "participant.site"
    fields = ("participant", "occurred_at", "reported_at", "reported_by")
    list_display = ("participant", "occurred_at", "reported_at", "reported_by")
    list_filter = ("participant__site",)
    search_fields = ("participant__screening_number",)
    date_hierarchy = "reported_at"

    def get_queryset(self, request: HttpRequest) -> QuerySet[AccidentalUnblinding]:
        reports = super().get_queryset(request).select_related("participant__site", "reported_by")
        return reports.defer("sealed_account")
