"""Settings of the server that is measured: the masked face's own, with three empty calls beside it."""

from trialsite.settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.urls"
