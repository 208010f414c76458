"""Nothing was lost: what a database holds after a run is whole, and is what was answered."""

from __future__ import annotations

from benchmarks.place import Place

# Each answers 0 where all is well.
QUESTIONS = {
    "a stratum's slots are not taken in order without a gap": """
        SELECT count(*) FROM (
            SELECT code FROM randomization_stratum LEFT JOIN randomization_allocation ON stratum_id = code
            GROUP BY code, next_slot
            HAVING count(participant_id) <> next_slot OR coalesce(max(position), -1) + 1 <> next_slot
        ) AS wrong""",
    "an allocation has not its four infusions": """
        SELECT (SELECT count(*) FROM supply_infusion)
            - 4 * (SELECT count(*) FROM randomization_allocation)""",
    "an allocation has not its event": """
        SELECT (SELECT count(*) FROM audit_entry WHERE kind = 'participant.randomized')
            - (SELECT count(*) FROM randomization_allocation)""",
    "an allocation has not its request": """
        SELECT count(*) FROM randomization_allocation FULL JOIN (
            SELECT key FROM api_idempotentrequest WHERE status = 201 AND key <> 'first'
        ) AS request ON key = participant_id::text
        WHERE key IS NULL OR participant_id IS NULL""",
    "the trail has a gap": "SELECT max(position) + 1 - count(*) FROM audit_entry",
}


def lost(place: Place, database: str) -> list[str]:
    """Return what does not hold of everything that was randomized in a database."""
    with place.superuser(database) as connection:
        answers = {what: connection.execute(question).fetchone() for what, question in QUESTIONS.items()}
    return [f"{database}: {what}" for what, answer in answers.items() if answer != (0,)]


def allocations(place: Place, database: str) -> int:
    """Return how many were randomized in a database."""
    with place.superuser(database) as connection:
        row = connection.execute("SELECT count(*) FROM randomization_allocation").fetchone()
    return int(row[0]) if row else 0
