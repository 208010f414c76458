"""
Let each face read and write the idempotency rows of its own requests only.

A masked host that was taken over could otherwise answer, or spoil, what people ask of the unmasked
face. Checked by tests/accounts/test_privileges.py.
"""

from django.db import migrations

SQL = """
    ALTER TABLE api_idempotentrequest ENABLE ROW LEVEL SECURITY;
    CREATE POLICY the_masked_face_keeps_its_own_answers ON api_idempotentrequest TO irt_masked
        USING (face = 'masked') WITH CHECK (face = 'masked');
    CREATE POLICY the_unmasked_face_keeps_its_own_answers ON api_idempotentrequest TO irt_unmasked
        USING (face = 'unmasked') WITH CHECK (face = 'unmasked');
"""
REVERSE = """
    DROP POLICY the_unmasked_face_keeps_its_own_answers ON api_idempotentrequest;
    DROP POLICY the_masked_face_keeps_its_own_answers ON api_idempotentrequest;
    ALTER TABLE api_idempotentrequest DISABLE ROW LEVEL SECURITY;
"""


class Migration(migrations.Migration):
    dependencies = [("api", "0001_initial")]
    operations = [migrations.RunSQL(SQL, REVERSE)]
