"""Gunicorn's settings, the same for both faces in evaluation and in a trial; the address is a flag."""

from __future__ import annotations

import os
from typing import Any

wsgi_app = "trialsite.wsgi:application"
workers = int(os.environ.get("WEB_WORKERS", "2"))
threads = int(os.environ.get("WEB_THREADS", "4"))
# Loaded once, before the fork: a wrong start fails at once and as a whole.
preload_app = True
timeout = 60
graceful_timeout = 15
# Requests name participants: they are on the trail, and not in an access log.
accesslog = None
# The control socket is not used, and in a read-only container it is an error line at each start.
control_socket_disable = True
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")


def on_starting(server: Any) -> None:
    """Refuse a wrong start before anyone is served."""
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    from trialsite.deployment.checks import refuse_a_wrong_start

    if settings.FACE not in ("masked", "unmasked"):
        message = f"TRIALSITE_FACE is {settings.FACE!r}; a web process is masked or unmasked."
        raise ImproperlyConfigured(message)
    refuse_a_wrong_start()
    server.log.info("Started as allowed.")
