"""
The audit trail's one way in, and the lock on every other.

``append_audit_event`` runs with the owner's rights and adds one leaf to the RFC 9162 tree, in the
caller's transaction, under the lock of the head row. It checks the kind against ``session_user``,
which neither SET ROLE nor a function can change, so a masked login cannot write an unmasked kind.
A body of another shape, or of a size that no event has, would stop whoever reads the trail.

Positions come from the head row and not from a sequence: a sequence has gaps after a rollback.
The triggers stop accidents; against an administrator stand the signed checkpoints.
"""

from django.db import migrations

SQL = r"""
CREATE FUNCTION append_audit_event(p_kind text, p_body bytea) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    e jsonb; n bigint; f bytea[]; h bytea; leaf bytea; m bigint; k int;
BEGIN
    IF NOT EXISTS (SELECT FROM audit_writer WHERE kind = p_kind AND login = session_user) THEN
        RAISE EXCEPTION 'this login may not write this kind of event' USING ERRCODE = '42501';
    END IF;
    IF octet_length(p_body) > 65536 THEN
        RAISE EXCEPTION 'an event has at most 65536 bytes' USING ERRCODE = '22023';
    END IF;
    e := convert_from(p_body, 'UTF8')::jsonb;
    IF e ->> 'k' IS DISTINCT FROM p_kind THEN
        RAISE EXCEPTION 'the kind of an event stands in its body' USING ERRCODE = '22023';
    END IF;
    IF NOT (
        e ?& '{v,k,t}' AND (
            e ?& '{act,at,role,about,data}'
                AND jsonb_typeof(e -> 'about') = 'object' AND jsonb_typeof(e -> 'data') = 'object'
            OR e ?& '{id,sealed}' AND jsonb_typeof(e -> 'sealed') = 'object'
        )
    ) THEN
        RAISE EXCEPTION 'an event is whole: in clear, or sealed' USING ERRCODE = '22023';
    END IF;
    SELECT size, frontier INTO STRICT n, f FROM audit_head FOR UPDATE;
    IF (n = 0) <> (p_kind = 'genesis') THEN
        RAISE EXCEPTION 'a trail begins with its genesis event, once' USING ERRCODE = '55000';
    END IF;
    leaf := sha256('\x00'::bytea || p_body);
    INSERT INTO audit_entry (position, recorded_at, kind, leaf, body)
    VALUES (n, clock_timestamp(), p_kind, leaf, p_body);
    h := leaf; m := n; k := coalesce(array_length(f, 1), 0);
    WHILE m & 1 = 1 LOOP
        h := sha256('\x01'::bytea || f[k] || h); k := k - 1; m := m >> 1;
    END LOOP;
    UPDATE audit_head SET size = n + 1, frontier = f[1:k] || h;
    RETURN n;
END $$;
REVOKE ALL ON FUNCTION append_audit_event(text, bytea) FROM PUBLIC;

CREATE FUNCTION genesis_data() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT convert_from(body, 'UTF8')::jsonb -> 'data' FROM audit_entry WHERE position = 0
$$;
REVOKE ALL ON FUNCTION genesis_data() FROM PUBLIC;

-- What masked roles may read: who did what to whom, when. Never the data of an event, which for an
-- allocation is the position on the list.
CREATE VIEW audit_visible_event WITH (security_barrier) AS
    SELECT position, recorded_at, kind, convert_from(body, 'UTF8')::jsonb - 'data' AS event
    FROM audit_entry
    WHERE kind IN (SELECT kind FROM audit_writer WHERE masked_visible);

CREATE FUNCTION audit_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'audit events are final' USING ERRCODE = '42501'; END $$;
CREATE TRIGGER audit_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_final();
CREATE TRIGGER audit_is_final BEFORE DELETE OR TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_final();
INSERT INTO audit_head (id, size, frontier) VALUES (true, 0, '{}');
"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]
    # No reverse: an audit trail that could be opened again would not be one.
    operations = [migrations.RunSQL(SQL)]
