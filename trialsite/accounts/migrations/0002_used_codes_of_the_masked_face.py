"""
Let the masked login remember used codes of its own purposes only.

A masked host that was taken over could otherwise mark codes as used for ``unblinding`` and so keep
an investigator from breaking a code in an emergency. Checked by tests/accounts/test_privileges.py.
"""

from django.db import migrations

SQL = """
    ALTER TABLE accounts_usedcode ENABLE ROW LEVEL SECURITY;
    CREATE POLICY the_unmasked_face_remembers_codes ON accounts_usedcode TO irt_unmasked
        USING (true) WITH CHECK (true);
    CREATE POLICY the_masked_face_remembers_its_own_codes ON accounts_usedcode TO irt_masked
        USING (purpose LIKE 'masked-%') WITH CHECK (purpose LIKE 'masked-%');
"""
REVERSE = """
    DROP POLICY the_masked_face_remembers_its_own_codes ON accounts_usedcode;
    DROP POLICY the_unmasked_face_remembers_codes ON accounts_usedcode;
    ALTER TABLE accounts_usedcode DISABLE ROW LEVEL SECURITY;
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]
    operations = [migrations.RunSQL(SQL, REVERSE)]
