"""
Make the sealed list and what was taken from it final in the database itself.

The application never changes a slot, a sealed arm, a list or an allocation; this makes sure that
nobody else does either, short of dropping a trigger, which needs the owner's role. A stratum may
move on by one slot, and an allocation takes the slot that was just moved over: no used slot is ever
freed, and none is skipped or chosen. At commit the slot that was moved over is somebody's, or a
spoiled envelope's: none is burned. A stratum may also grow, by slots that an extension brought.

What was recorded of people, errors and enrolment is added to and never rewritten, and the stratum
that was used at a randomization is frozen with it. What else is changed of a randomized participant, and
anybody's site, changes together with the record that says so, or not at all.
"""

from django.db import migrations

FINAL = ("allocation", "slot", "sealedarm", "randomizationlist", "spoiledslot")
RECORDS = (
    "approval",
    "enrolmentchange",
    "consent",
    "correction",
    "randomizationerror",
    "screeningrevision",
    "transfer",
)

SQL = r"""
CREATE FUNCTION the_list_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the randomization list and its allocations are final' USING ERRCODE = '42501'; END $$;

CREATE FUNCTION a_stratum_moves_by_one_slot() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.next_slot = OLD.next_slot + 1 AND to_jsonb(NEW) - 'next_slot' = to_jsonb(OLD) - 'next_slot' THEN
        RETURN NEW;
    END IF;
    IF NEW.length > OLD.length AND to_jsonb(NEW) - 'length' = to_jsonb(OLD) - 'length'
        AND NEW.length = (SELECT count(*) FROM randomization_slot WHERE stratum_id = NEW.code) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a stratum moves on by one slot or grows by those added' USING ERRCODE = '42501';
END $$;

CREATE FUNCTION an_allocation_takes_the_next_slot() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM randomization_slot slot
        JOIN randomization_stratum stratum ON stratum.code = slot.stratum_id
        WHERE slot.id = NEW.slot_id AND slot.stratum_id = NEW.stratum_id AND slot.position = NEW.position
          AND slot.randomization_number = NEW.randomization_number AND stratum.next_slot = slot.position + 1
          AND NOT EXISTS (SELECT FROM randomization_spoiledslot WHERE slot_id = slot.id)
    ) THEN
        RAISE EXCEPTION 'an allocation takes the next slot of its stratum' USING ERRCODE = '42501';
    END IF;
    IF NOT EXISTS (
        SELECT FROM randomization_stratum stratum JOIN randomization_participant person
          ON person.id = NEW.participant_id
        WHERE stratum.code = NEW.stratum_id AND CASE
            WHEN stratum.site_id IS NULL THEN stratum.levels = person.stratum_levels
            ELSE NEW.paper_reason <> '' AND NEW.entered_at IS NOT NULL AND (
                stratum.site_id = person.site_id OR EXISTS (
                    SELECT FROM randomization_transfer
                    WHERE participant_id = person.id AND from_site_id = stratum.site_id))
            END
    ) THEN
        RAISE EXCEPTION 'an allocation is of the participant''s own stratum, or of their site''s on paper'
            USING ERRCODE = '42501';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION a_spoiled_slot_is_the_next() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM randomization_slot slot
        JOIN randomization_stratum stratum ON stratum.code = slot.stratum_id
        WHERE slot.id = NEW.slot_id AND stratum.site_id IS NOT NULL AND stratum.next_slot = slot.position + 1
          AND NOT EXISTS (SELECT FROM randomization_allocation WHERE slot_id = NEW.slot_id)
    ) THEN
        RAISE EXCEPTION 'only the next slot of an emergency list is spoiled' USING ERRCODE = '42501';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION a_slot_moved_over_is_taken() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM randomization_allocation
        WHERE stratum_id = NEW.code AND position = NEW.next_slot - 1
    ) AND NOT EXISTS (
        SELECT FROM randomization_spoiledslot spoiled
        JOIN randomization_slot slot ON slot.id = spoiled.slot_id
        WHERE slot.stratum_id = NEW.code AND slot.position = NEW.next_slot - 1
    ) THEN
        RAISE EXCEPTION 'a slot that is moved over is taken' USING ERRCODE = '42501';
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION a_record_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'a record is added to and never rewritten' USING ERRCODE = '42501'; END $$;

CREATE FUNCTION a_randomized_stratum_is_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM randomization_allocation WHERE participant_id = NEW.id) THEN
        RAISE EXCEPTION 'the stratum of a randomized participant is frozen' USING ERRCODE = '42501';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER a_randomized_stratum_is_frozen
    BEFORE UPDATE OF stratum_levels, status, unmet, eligibility ON randomization_participant
    FOR EACH ROW EXECUTE FUNCTION a_randomized_stratum_is_frozen();

-- A row that is seen although its writer is still in progress is this transaction's own. Its xmin may be
-- a savepoint's, which has an xid of its own, later than the transaction's: xmin alone says too little.
CREATE FUNCTION a_change_of_a_participant_is_recorded() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    own bigint := pg_current_xact_id()::text::bigint;
    written xid[];
BEGIN
    IF TG_NAME = 'a_transfer_is_recorded' THEN
        written := ARRAY(SELECT xmin FROM randomization_transfer
            WHERE participant_id = NEW.id AND to_site_id = NEW.site_id);
    ELSIF EXISTS (SELECT FROM randomization_allocation WHERE participant_id = NEW.id) THEN
        written := ARRAY(
            SELECT xmin FROM randomization_correction WHERE participant_id = NEW.id
            UNION ALL SELECT xmin FROM randomization_screeningrevision WHERE participant_id = NEW.id
            UNION ALL SELECT xmin FROM randomization_consent WHERE participant_id = NEW.id
            UNION ALL SELECT xmin FROM randomization_randomizationerror
                WHERE participant_id = NEW.id AND kind = 'wrong_stratum');
    ELSE
        RETURN NULL;
    END IF;
    IF NOT EXISTS (
        SELECT FROM unnest(written) AS by_whom WHERE CASE WHEN age(by_whom) <= 0
            THEN pg_xact_status((own - age(by_whom))::text::xid8) = 'in progress' END
    ) THEN
        RAISE EXCEPTION 'a change of a participant is recorded' USING ERRCODE = '42501';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER a_transfer_is_recorded AFTER UPDATE ON randomization_participant
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.site_id IS DISTINCT FROM OLD.site_id)
    EXECUTE FUNCTION a_change_of_a_participant_is_recorded();
CREATE CONSTRAINT TRIGGER a_changed_fact_is_recorded AFTER UPDATE ON randomization_participant
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (
        (NEW.identity_hash, NEW.birth_date, NEW.sex, NEW.weight_kg, NEW.consented_at, NEW.measurements,
         NEW.consent_version, NEW.true_stratum_levels) IS DISTINCT FROM
        (OLD.identity_hash, OLD.birth_date, OLD.sex, OLD.weight_kg, OLD.consented_at, OLD.measurements,
         OLD.consent_version, OLD.true_stratum_levels))
    EXECUTE FUNCTION a_change_of_a_participant_is_recorded();
CREATE TRIGGER a_spoiled_slot_is_the_next BEFORE INSERT ON randomization_spoiledslot
    FOR EACH ROW EXECUTE FUNCTION a_spoiled_slot_is_the_next();
CREATE CONSTRAINT TRIGGER a_slot_moved_over_is_taken AFTER UPDATE OF next_slot ON randomization_stratum
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION a_slot_moved_over_is_taken();
CREATE TRIGGER an_allocation_takes_the_next_slot BEFORE INSERT ON randomization_allocation
    FOR EACH ROW EXECUTE FUNCTION an_allocation_takes_the_next_slot();
CREATE TRIGGER a_stratum_moves_by_one_slot BEFORE UPDATE ON randomization_stratum
    FOR EACH ROW EXECUTE FUNCTION a_stratum_moves_by_one_slot();
CREATE TRIGGER the_list_is_final BEFORE DELETE OR TRUNCATE ON randomization_stratum
    FOR EACH STATEMENT EXECUTE FUNCTION the_list_is_final();
"""

FINALITY = "".join(
    f"CREATE TRIGGER {function} BEFORE UPDATE OR DELETE OR TRUNCATE ON randomization_{table}"
    f" FOR EACH STATEMENT EXECUTE FUNCTION {function}();\n"
    for function, tables in (("the_list_is_final", FINAL), ("a_record_is_final", RECORDS))
    for table in tables
)


class Migration(migrations.Migration):
    dependencies = [("randomization", "0001_initial")]
    # No reverse: a list that could be opened again would not be final.
    operations = [migrations.RunSQL(SQL), migrations.RunSQL(FINALITY)]
