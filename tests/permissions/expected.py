"""
Who gets what from each route, written by hand from docs and contract and not computed from any code.

A cell is what a person of the role is answered about things of the site PUREN:

    y   what they asked for, or a refusal for a reason other than who they are (400, 409, …)
    r   led on to the description
    l   a list in which the site's things do not stand
    s   that their signature is wrong: the role lets them as far as that
    4   404, as if it did not exist
    -   403, not permitted
    1   401, who are you?

Roles that belong to a site have two letters: the person of that site, and the same role at another
site. ``anon`` sends no token; ``non`` is a person without any role.
"""

from __future__ import annotations

COLUMNS = {
    "anon": "",
    "non": "",
    "inv": "investigator",
    "pha": "pharmacist",
    "nur": "nurse",
    "out": "outcome_assessor",
    "mon": "monitor",
    "mgr": "study_manager",
    "pre": "preparer",
    "umo": "unmasked_monitor",
    "sta": "statistician",
    "dsm": "dsmb_statistician",
    "saf": "safety_officer",
    "eme": "emergency_desk",
    "aud": "auditor",
    "rel": "release_officer",
    "adm": "administrator",
}
OF_A_SITE = {"inv", "pha", "nur", "out", "pre"}

# Routes stand under /api/v1/ unless they begin with a slash.

MASKED = """
                                      anon non inv pha nur out mon mgr pre umo sta dsm saf eme aud rel adm
GET  /                                r    r   rr  rr  rr  rr  r   r   rr  r   r   r   r   r   r   r   r
GET  /livez                           y    y   yy  yy  yy  yy  y   y   yy  y   y   y   y   y   y   y   y
GET  /readyz                          y    y   yy  yy  yy  yy  y   y   yy  y   y   y   y   y   y   y   y
GET  openapi.yaml                     y    y   yy  yy  yy  yy  y   y   yy  y   y   y   y   y   y   y   y
GET  docs                             y    y   yy  yy  yy  yy  y   y   yy  y   y   y   y   y   y   y   y
GET  docs/                            r    r   rr  rr  rr  rr  r   r   rr  r   r   r   r   r   r   r   r
GET  me                               1    y   yy  yy  yy  yy  y   y   yy  y   y   y   y   y   y   y   y
GET  trial                            1    -   yy  yy  yy  yy  y   y   yy  y   y   y   y   y   y   y   y
GET  participants                     1    -   yl  yl  yl  --  y   y   --  -   -   -   -   -   -   -   -
POST participants                     1    -   y4  --  --  --  -   -   --  -   -   -   -   -   -   -   -
GET  participants/{id}                1    -   y4  y4  y4  --  y   y   --  -   -   -   -   -   -   -   -
POST participants/{id}/randomize      1    -   y4  --  --  --  -   -   --  -   -   -   -   -   -   -   -
POST participants/{id}/discontinue    1    -   y4  --  --  --  -   -   --  -   -   -   -   -   -   -   -
GET  participants/{id}/consents       1    -   y4  y4  y4  --  y   y   --  -   -   -   -   -   -   -   -
POST participants/{id}/consents       1    -   y4  --  --  --  -   -   --  -   -   -   -   -   -   -   -
POST participants/{id}/withdraw-consent 1  -   y4  --  --  --  -   -   --  -   -   -   -   -   -   -   -
GET  participants/{id}/screening-revisions 1 - y4  y4  y4  --  y   y   --  -   -   -   -   -   -   -   -
POST participants/{id}/screening-revisions 1 - y4  --  --  --  -   -   --  -   -   -   -   -   -   -   -
POST participants/{id}/transfer       1    -   --  --  --  --  -   y   --  -   -   -   -   -   -   -   -
GET  transfers                        1    -   ll  ll  ll  --  l   l   --  -   -   -   -   -   -   -   -
POST transfers                        1    -   --  --  --  --  -   y   --  -   -   -   -   -   -   -   -
POST participants/{id}/randomized-on-paper 1 - y4  --  --  --  -   -   --  -   -   -   -   -   -   -   -
POST emergency-envelopes/spoiled      1    -   y4  --  --  --  -   -   --  -   -   -   -   -   -   -   -
GET  reports/emergency-list           1    -   yl  --  --  --  y   y   --  -   -   -   -   -   -   -   -
GET  participants/{id}/corrections    1    -   y4  --  --  --  -   -   --  -   -   -   -   -   -   -   -
POST participants/{id}/corrections    1    -   y4  --  --  --  -   -   --  -   -   -   -   -   -   -   -
POST participants/{id}/randomized-in-error 1 - y4  --  --  --  -   -   --  -   -   -   -   -   -   -   -
POST participants/{id}/wrong-stratum  1    -   y4  --  --  --  -   -   --  -   -   -   -   -   -   -   -
POST participants/{id}/ineligible     1    -   y4  --  --  --  -   -   --  -   -   -   -   -   -   -   -
POST participants/{id}/duplicate      1    -   y4  --  --  --  -   -   --  -   -   -   -   -   -   -   -
GET  randomization-errors             1    -   yl  --  --  --  y   y   --  -   -   -   -   -   -   -   -
GET  reports/enrolment                1    -   yy  --  --  --  y   y   --  -   -   -   -   -   -   -   -
GET  enrolment-changes                1    -   yy  --  --  --  y   y   --  -   -   -   -   -   -   -   -
POST enrolment-changes                1    -   --  --  --  --  -   y   --  -   -   -   -   -   -   -   -
GET  infusions                        1    -   yl  yl  yl  --  y   y   --  -   -   -   -   -   -   -   -
GET  infusions/{id}                   1    -   y4  y4  y4  --  y   y   --  -   -   -   -   -   -   -   -
POST infusions/{id}/order             1    -   y4  y4  --  --  -   -   --  -   -   -   -   -   -   -   -
POST infusions/{id}/cancel-order      1    -   y4  y4  --  --  -   -   --  -   -   -   -   -   -   -   -
POST infusions/{id}/dispense          1    -   --  y4  --  --  -   -   --  -   -   -   -   -   -   -   -
POST infusions/{id}/start             1    -   y4  --  y4  --  -   -   --  -   -   -   -   -   -   -   -
POST infusions/{id}/stop              1    -   y4  --  y4  --  -   -   --  -   -   -   -   -   -   -   -
POST infusions/{id}/miss              1    -   y4  --  --  --  -   -   --  -   -   -   -   -   -   -   -
GET  kits                             1    -   yl  yl  yl  --  -   -   --  -   -   -   -   -   -   -   -
GET  kits/{id}                        1    -   y4  y4  y4  --  -   -   --  -   -   -   -   -   -   -   -
POST kits/{id}/waste                  1    -   --  y4  y4  --  -   -   --  -   -   -   -   -   -   -   -
POST accidental-unblindings           1    -   y4  y4  y4  y4  y   y   y4  y   y   y   y   y   y   y   y
GET  audit-events                     1    -   --  --  --  --  y   y   --  -   -   -   -   -   y   -   -
GET  evaluation/clock                 1    -   --  --  --  --  -   -   --  -   -   -   -   -   -   -   y
POST evaluation/clock                 1    -   --  --  --  --  -   -   --  -   -   -   -   -   -   -   y
"""

# Preparers send their work session; everybody else is given one too, and it helps nobody.
UNMASKED = """
                                      anon non inv pha nur out mon mgr pre umo sta dsm saf eme aud rel adm
GET  /                                r    r   rr  rr  rr  rr  r   r   rr  r   r   r   r   r   r   r   r
GET  /livez                           y    y   yy  yy  yy  yy  y   y   yy  y   y   y   y   y   y   y   y
GET  /readyz                          y    y   yy  yy  yy  yy  y   y   yy  y   y   y   y   y   y   y   y
GET  openapi.yaml                     y    y   yy  yy  yy  yy  y   y   yy  y   y   y   y   y   y   y   y
GET  docs                             y    y   yy  yy  yy  yy  y   y   yy  y   y   y   y   y   y   y   y
GET  docs/                            r    r   rr  rr  rr  rr  r   r   rr  r   r   r   r   r   r   r   r
GET  me                               1    y   yy  yy  yy  yy  y   y   yy  y   y   y   y   y   y   y   y
POST sessions                         1    s   ss  ss  ss  ss  s   s   ss  s   s   s   s   s   s   s   s
GET  preparations                     1    -   --  --  --  --  -   -   yl  -   -   -   -   -   -   -   -
GET  preparations/{id}                1    -   --  --  --  --  -   -   y4  -   -   -   -   -   -   -   -
POST preparations/{id}/open           1    -   --  --  --  --  -   -   y4  -   -   -   -   -   -   -   -
POST preparations/{id}/complete       1    -   --  --  --  --  -   -   y4  -   -   -   -   -   -   -   -
POST preparations/{id}/verify         1    -   --  --  --  --  -   -   y4  -   -   -   -   -   -   -   -
POST preparations/{id}/cover          1    -   --  --  --  --  -   -   y4  -   -   -   -   -   -   -   -
POST preparations/{id}/reject         1    -   --  --  --  --  -   -   y4  -   -   -   -   -   -   -   -
GET  preparations/{id}/label.pdf      1    -   --  --  --  --  -   -   y4  -   -   -   -   -   -   -   -
GET  lots                             1    -   --  --  --  --  -   -   yl  -   -   -   -   -   -   -   -
POST lots                             1    -   --  --  --  --  -   -   y4  -   -   -   -   -   -   -   -
GET  emergency-list                   1    -   --  --  --  --  -   -   yy  y   y   -   -   -   -   -   -
GET  unblindings                      1    -   yl  --  --  --  -   y   --  -   -   -   y   l   y   -   -
POST unblindings                      1    -   s4  --  --  --  -   -   --  -   -   -   -   s   -   -   -
GET  unblindings/{id}                 1    -   y4  --  --  --  -   y   --  -   -   -   y   4   y   -   -
GET  reveals                          1    -   --  --  --  --  -   -   --  -   y   -   -   -   -   -   -
GET  audit-trail/checkpoint           y    y   yy  yy  yy  yy  y   y   yy  y   y   y   y   y   y   y   y
GET  audit-trail/export               1    -   --  --  --  --  -   -   --  -   -   -   -   -   y   -   -
"""

# Served by the masked face beside its REST interface; tests/admin looks at it.
NOT_REST = ("admin/",)

# Who might want to take a randomization back.
MAY_TRY_TO_UNDO = ("inv", "mgr", "sta", "adm")

# Who may never be one person (ICH E6(R3) 4.1.2, design section 10). Not the whole rule: its points.
NEVER_ONE_PERSON = [
    ("investigator", "preparer"),
    ("investigator", "statistician"),
    ("investigator", "dsmb_statistician"),
    ("investigator", "safety_officer"),
    ("investigator", "unmasked_monitor"),
    ("investigator", "emergency_desk"),
    ("investigator", "outcome_assessor"),
    ("investigator", "monitor"),
    ("investigator", "study_manager"),
    ("investigator", "auditor"),
    ("investigator", "release_officer"),
    ("investigator", "administrator"),
    ("pharmacist", "preparer"),
    ("pharmacist", "outcome_assessor"),
    ("pharmacist", "administrator"),
    ("nurse", "preparer"),
    ("nurse", "outcome_assessor"),
    ("nurse", "monitor"),
    ("outcome_assessor", "preparer"),
    ("outcome_assessor", "statistician"),
    ("outcome_assessor", "monitor"),
    ("monitor", "unmasked_monitor"),
    ("study_manager", "statistician"),
    ("study_manager", "preparer"),
    ("study_manager", "administrator"),
    ("preparer", "administrator"),
    ("preparer", "emergency_desk"),
    ("statistician", "release_officer"),
    ("statistician", "auditor"),
    ("safety_officer", "administrator"),
    ("auditor", "administrator"),
    ("auditor", "release_officer"),
    ("release_officer", "administrator"),
    ("emergency_desk", "administrator"),
]
# Roles that may meet in one person, so that the rule is not "never any two".
MAY_BE_ONE_PERSON = [
    ("investigator", "pharmacist"),
    ("investigator", "nurse"),
    ("pharmacist", "nurse"),
    ("monitor", "study_manager"),
    ("statistician", "dsmb_statistician"),
    ("preparer", "unmasked_monitor"),
]
