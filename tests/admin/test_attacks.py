"""
What somebody with a browser and a masked account might try in order to learn an arm.

A list that may be filtered by a field answers questions about it, one bit at a time, without ever
showing it. So whatever a page does not offer is refused, for superusers too.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import URLResolver, get_resolver

from tests.admin.scene import CANARIES, Scene, a_browser, rows_in, signed_in, text_of
from tests.admin.test_pages import RECORDS, SHOWN, the_list, the_page
from trialsite.admin.site import masked_site

# Oracles over what is sealed, kept on the unmasked side, or simply not offered.
ORACLES = {
    "randomization.Allocation": [
        "arm=A",
        "slot__sealedarm__envelope__startswith=a",
        "slot__sealedarm__key_id=code-break-1",
        "slot__sealedarm__leaf_hash__lt=80",
        "slot__position__gt=10",
        "slot=1",
        "slot__id__exact=1",
        "position=70411",
        "position__gt=1",
        "stratum__next_slot=70412",
        "stratum__length__gt=5",
        "stratum__list__sealed_seed__contains=1",
        "stratum__code__startswith=a",
        "participant__unblinding__isnull=False",
        "participant__unblinding__category=emergency",
        "randomization_number__startswith=R",
        "participant__identity_hash=CANARY",
    ],
    "randomization.Participant": [
        "arm=A",
        "identity_hash__startswith=C",
        "identity_hash=CANARY",
        "allocation__slot__sealedarm__envelope__startswith=a",
        "allocation__position__gt=2",
        "unblinding__isnull=True",
        "infusions__orders__preparations__status=covered",
        "kits__status=released",
        "created_by__password__startswith=md5",
        "created_by__auth_token_set__digest__startswith=C",
        "created_by__secondfactor__sealed_secret__startswith=f",
        "weight_kg__gt=1",
        "eligibility__I1=true",
        "id__in=1,2",
        "pk=1",
    ],
    "randomization.Stratum": [
        "length=90173",
        "length__gt=1",
        "next_slot__gt=1",
        "list__leaf_count__gt=1",
        "slot__isnull=0",
    ],
    "randomization.TrialVersion": ["randomizationlist__sealed_seed__contains=1", "document__arms=1"],
    "randomization.AccidentalUnblinding": [
        "sealed_account__c=CANARY",
        "participant__allocation__position=70411",
    ],
    "randomization.Consent": [
        "relationship=wife",
        "version__startswith=1",
        "participant__birth_date__gt=1980-01-01",
        "participant__identity_hash=CANARY",
        "participant__allocation__position=70411",
    ],
    "randomization.ScreeningRevision": [
        "old__status=screen_failed",
        "new__contains=eligible",
        "participant__identity_hash=CANARY",
        "participant__allocation__slot__sealedarm__key_id=code-break-1",
    ],
    "randomization.Transfer": [
        "reason__startswith=N",
        "participant__identity_hash=CANARY",
        "participant__allocation__position=70411",
        "from_site__sitereadiness__ready_until__gt=2026-01-01",
    ],
    "randomization.Correction": [
        "old=1980-04-05",
        "new__gt=1980",
        "participant__birth_date__gt=1980-01-01",
        "participant__identity_hash=CANARY",
        "participant__allocation__position=70411",
    ],
    "randomization.RandomizationError": [
        "criteria__contains=E1",
        "duplicate_of__identity_hash=CANARY",
        "duplicate_of__allocation__slot__sealedarm__key_id=code-break-1",
        "participant__unblinding__isnull=False",
    ],
    "randomization.Discontinuation": ["reason__startswith=w", "participant__unblinding__isnull=False"],
    "supply.Order": [
        "order__preparations__status=covered",
        "preparations__status=covered",
        "preparations__sealed_contents__isnull=False",
        "preparations__prepared_by__username=preparer",
        "preparations__attempt__gt=1",
        "preparations__kit_number__position__lt=10",
    ],
    "supply.Kit": [
        "number__startswith=7",
        "preparation__status=covered",
        "infusion__orders__preparations__status=x",
    ],
    "supply.Infusion": ["orders__preparations__attempt=2", "kit__number__lt=5", "site__lot__component=cells"],
    "accounts.User": [
        "password__startswith=md5",
        "password=md5",
        "role_grants__role=preparer",
        "secondfactor__sealed_secret__isnull=False",
        "auth_token_set__digest__startswith=C",
        "worksession__isnull=False",
        "idempotentrequest__answer__x=CANARY",
        "unblinding__isnull=False",
    ],
    "accounts.RoleGrant": ["user__password__startswith=md5", "user__unblinding__isnull=False"],
    "accounts.Site": [
        "lot__number__startswith=C",
        "sitereadiness__ready_until__isnull=True",
        "preparation__status=x",
    ],
    "audit.VisibleEvent": [
        "event__data__slot=70411",
        "event__about__preparation__startswith=C",
        "position=1",
        "position__gt=1",
        "event__act=1",
        "kind__startswith=k",
    ],
    "axes.AccessAttempt": ["post_data__contains=CANARY", "get_data=CANARY"],
}
# Machinery of Django's lists that these pages do not have.
MACHINERY = [
    "_facets=True",
    "_popup=1",
    "_to_field=id",
    "_to_field=identity_hash",
    "_changelist_filters=arm%3DA",
    "all=",
    "e=1",
    "o=99",
    "o=-99",
    "o=arm",
    "o=identity_hash",
    "o=1.x",
    "o=0;0",
    "o=0&o=1",
    "p=0",
    "p=-1",
    "p=9999999",
    "p=x",
    "p=1&p=2",
    "q=a&q=b",
    "q=%00",
    "q=a%0Ab",
    "q=" + "x" * 201,
    "action=delete_selected",
    "index=0",
    "csv=1",
    "format=json",
    "export",
    "%61rm=A",
    "Q=1",
    "__class__=1",
    "=",
]
# Pages that Django or a library would have had.
NO_SUCH_PAGE = [
    "password_change/",
    "password_change/done/",
    "autocomplete/",
    "autocomplete/?app_label=randomization&model_name=participant&field_name=site&term=P",
    "jsi18n/",
    "r/1/1/",
    "doc/",
    "auth/",
    "auth/group/",
    "auth/user/",
    "knox/authtoken/",
    "axes/accesslog/",
    "axes/accessfailurelog/",
    "admin/logentry/",
    "sessions/session/",
    "api/idempotentrequest/",
    "outbox/message/",
    "accounts/secondfactor/",
    "accounts/usedcode/",
    "accounts/worksession/",
    "audit/entry/",
    "audit/head/",
    "audit/checkpoint/",
    "randomization/slot/",
    "randomization/sealedarm/",
    "randomization/randomizationlist/",
    "randomization/unblinding/",
    "supply/lot/",
    "supply/kitnumber/",
    "supply/preparation/",
    "supply/sitereadiness/",
    "audit/visibleevent/1/change/",
    "audit/visibleevent/1/history/",
    "audit/visibleevent/1/delete/",
    "../api/",
]


def admin_of(label: str) -> Any:
    return next(each for model, each in masked_site._registry.items() if model._meta.label == label)


@pytest.fixture
def superuser(scene: Scene) -> Client:
    return signed_in(scene, "superuser")


def test_every_list_has_its_attacks():
    assert set(ORACLES) == set(SHOWN)


@pytest.mark.parametrize("label", SHOWN)
def test_a_list_answers_no_question_that_it_does_not_offer(superuser: Client, label: str):
    for question in ORACLES[label]:
        answer = superuser.get(f"{the_list(label)}?{question}")

        assert answer.status_code == 400, question
        assert "Not offered" in text_of(answer)
        assert question not in text_of(answer)


@pytest.mark.parametrize("label", SHOWN)
def test_a_list_has_no_machinery_beyond_what_it_shows(superuser: Client, label: str):
    for trick in MACHINERY:
        answer = superuser.get(f"{the_list(label)}?{trick}")

        assert answer.status_code == 400, trick


@pytest.mark.parametrize("label", SHOWN)
def test_only_columns_that_are_shown_can_be_sorted_by(superuser: Client, label: str):
    """Every index gives a page or a refusal, and none beyond the columns a page."""
    model_admin = admin_of(label)

    answers = {index: superuser.get(f"{the_list(label)}?o={index}").status_code for index in range(20)}

    assert set(answers.values()) <= {200, 400}
    assert all(answers[index] == 400 for index in range(len(model_admin.list_display), 20))


@pytest.mark.parametrize("label", RECORDS)
def test_a_record_takes_no_parameters(scene: Scene, superuser: Client, label: str):
    for what in ("change", "history"):
        for trick in ("_popup=1", "_to_field=identity_hash", "_changelist_filters=arm%3DA", "arm=A", "e=1"):
            answer = superuser.get(f"{the_page(scene, label, what)}?{trick}")

            assert answer.status_code == 400, (what, trick)


@pytest.mark.parametrize("label", RECORDS)
def test_nothing_is_changed_added_or_deleted(scene: Scene, superuser: Client, label: str):
    record = the_page(scene, label, "change")
    to_delete, to_add = record.replace("/change/", "/delete/"), the_list(label) + "add/"

    for method in ("post", "put", "patch", "delete", "options"):
        tried = getattr(superuser, method)

        for address in (record, the_page(scene, label, "history"), the_list(label), to_delete, to_add):
            assert tried(address).status_code == 405, (method, address)

    assert [superuser.get(address).status_code for address in (to_delete, to_add)] == [404, 404]


def test_bulk_deletion_is_no_action(scene: Scene, superuser: Client):
    label = "randomization.Participant"

    answer = superuser.post(
        the_list(label),
        {"action": "delete_selected", "_selected_action": scene.records[label].pk, "post": "yes"},
    )

    assert answer.status_code == 405
    assert type(scene.records[label]).objects.filter(pk=scene.records[label].pk).exists()
    assert not masked_site._actions


def test_pages_that_django_or_a_library_would_have_are_not_there(superuser: Client):
    for page in NO_SUCH_PAGE:
        assert superuser.get(f"/admin/{page}").status_code == 404, page


def test_what_libraries_register_is_registered_nowhere():
    """Their pages would hold tokens, groups and what was typed into sign-in forms."""
    assert list(admin.site._registry) == []


def test_the_admin_has_no_address_that_is_not_known_here():
    resolver = get_resolver("trialsite.urls.masked").url_patterns
    (pages_of_admin,) = (
        each for each in resolver if isinstance(each, URLResolver) and each.app_name == "admin"
    )

    names = {name for name in pages_of_admin.reverse_dict if isinstance(name, str)}

    pages = {label.lower().replace(".", "_") for label in RECORDS}
    known = {f"{page}_{what}" for page in pages for what in ("changelist", "change", "history")}
    assert names == known | {"index", "login", "logout", "app_list", "audit_visibleevent_changelist"}


@pytest.mark.parametrize("label", RECORDS)
def test_a_record_that_does_not_exist_is_not_found(superuser: Client, label: str):
    for identifier in ("0", "x", "_00", "_0A", "..", "1'--", "99999999999999999999999", "a" * 400, "💉"):
        for what in ("change", "history"):
            answer = superuser.get(f"{the_list(label)}{identifier}/{what}/")

            assert answer.status_code == 404, (identifier, what)


@pytest.mark.parametrize("label", SHOWN)
def test_a_wrong_value_of_a_filter_is_refused_or_finds_nothing(superuser: Client, label: str):
    model_admin = admin_of(label)

    for name in model_admin._filter_parameters:
        for value in ("zzz", "%00", "1%0A", "-1", "99999999999999999999", "'", "%25", "0000"):
            answer = superuser.get(f"{the_list(label)}?{name}={value}")

            assert answer.status_code in (200, 400), (name, value)
            assert all(canary.lower() not in text_of(answer).lower() for canary in CANARIES)


@pytest.mark.parametrize("label", SHOWN)
def test_a_search_never_reaches_what_is_not_shown(superuser: Client, label: str):
    for term in ("CANARY", "md5$", "70411", "90173"):
        assert rows_in(superuser.get(the_list(label), {"q": term})) == 0, term

    for term in ("'", '"', '""', "%", "_", "\\", "$.* ? (1==1)", '"CANARY', "💉", "a " * 90):
        assert superuser.get(the_list(label), {"q": term}).status_code == 200, term


@pytest.mark.parametrize("model_label", SHOWN)
def test_django_s_own_check_of_lookups_denies_too(model_label: str, rf):
    """The guard stands before it; each holds without the other."""
    model_admin = next(
        each for model, each in masked_site._registry.items() if model._meta.label == model_label
    )

    for question in ORACLES[model_label]:
        name, _, value = question.partition("=")
        assert not model_admin.lookup_allowed(name, value, rf.get("/"))
    assert not model_admin.to_field_allowed(rf.get("/"), "id")


def test_strangers_see_the_sign_in_form_and_nothing_else(scene: Scene):
    stranger = a_browser()

    for address in ["/admin/", *(the_list(label) for label in SHOWN), "/admin/no-such-page/"]:
        answer = stranger.get(address)

        assert answer.status_code == 302
        assert answer["Location"].startswith("/admin/login/?next=")


def test_sign_in_leads_to_no_other_host(scene: Scene):
    answer = a_browser().post("/admin/login/?next=https://example.com/", scene.credentials("monitor"))

    assert answer["Location"] == "/admin/"


def test_a_search_does_find_what_may_be_found(superuser: Client):
    """The positive control: the pool's numbers are not found because they are not there to be found."""
    assert rows_in(superuser.get(the_list("supply.Kit"), {"q": "7KD4RX2M"})) == 1
    assert rows_in(superuser.get(the_list("supply.Kit"), {"q": "CANARYNUM"})) == 0
