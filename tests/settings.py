"""Settings of the tests: an evaluation deployment whose database is named when one is needed."""

import os

os.environ.setdefault("TRIALSITE_FACE", "masked")
os.environ.setdefault("TRIALSITE_EVALUATION", "1")
os.environ.setdefault("SECRET_KEY", "a-secret-of-the-tests-which-opens-nothing-anywhere")

from trialsite.settings import *  # noqa: F403

# Argon2id takes most of a test's time and shows nothing there; the product's own is named by a test.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
