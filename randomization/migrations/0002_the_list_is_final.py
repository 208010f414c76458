"""
Make the sealed list and what was taken from it final in the database itself.

The application never changes a slot, a sealed arm, a list or an allocation; this makes sure that
nobody else does either, short of dropping a trigger, which needs the owner's role. A stratum may
do one thing, move on by one slot, and an allocation takes the slot that was just moved over: no
used slot is ever freed, and none is skipped or chosen. At commit the slot that was moved over is
somebody's: none is burned.
"""

from django.db import migrations

FINAL = ("allocation", "slot", "sealedarm", "randomizationlist")

SQL = r"""
CREATE FUNCTION the_list_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the randomization list and its allocations are final' USING ERRCODE = '42501'; END $$;

CREATE FUNCTION a_stratum_moves_by_one_slot() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.next_slot <> OLD.next_slot + 1
        OR to_jsonb(NEW) - 'next_slot' <> to_jsonb(OLD) - 'next_slot' THEN
        RAISE EXCEPTION 'a stratum moves on by one slot' USING ERRCODE = '42501';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION an_allocation_takes_the_next_slot() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM randomization_slot slot
        JOIN randomization_stratum stratum ON stratum.code = slot.stratum_id
        WHERE slot.id = NEW.slot_id AND slot.stratum_id = NEW.stratum_id AND slot.position = NEW.position
          AND slot.randomization_number = NEW.randomization_number AND stratum.next_slot = slot.position + 1
    ) THEN
        RAISE EXCEPTION 'an allocation takes the next slot of its stratum' USING ERRCODE = '42501';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION a_slot_moved_over_is_taken() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM randomization_allocation
        WHERE stratum_id = NEW.code AND position = NEW.next_slot - 1
    ) THEN
        RAISE EXCEPTION 'a slot that is moved over is taken' USING ERRCODE = '42501';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER a_slot_moved_over_is_taken AFTER UPDATE ON randomization_stratum
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION a_slot_moved_over_is_taken();
CREATE TRIGGER an_allocation_takes_the_next_slot BEFORE INSERT ON randomization_allocation
    FOR EACH ROW EXECUTE FUNCTION an_allocation_takes_the_next_slot();
CREATE TRIGGER a_stratum_moves_by_one_slot BEFORE UPDATE ON randomization_stratum
    FOR EACH ROW EXECUTE FUNCTION a_stratum_moves_by_one_slot();
CREATE TRIGGER the_list_is_final BEFORE DELETE OR TRUNCATE ON randomization_stratum
    FOR EACH STATEMENT EXECUTE FUNCTION the_list_is_final();
"""

FINALITY = "".join(
    f"CREATE TRIGGER the_list_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON randomization_{table}"
    " FOR EACH STATEMENT EXECUTE FUNCTION the_list_is_final();\n"
    for table in FINAL
)


class Migration(migrations.Migration):
    dependencies = [("randomization", "0001_initial")]
    # No reverse: a list that could be opened again would not be final.
    operations = [migrations.RunSQL(SQL), migrations.RunSQL(FINALITY)]
