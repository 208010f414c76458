"""
Settings of one process, all from its environment.

One code base serves every process; ``TRIALSITE_FACE`` says which one this is, and the process is
given only the secrets that its face needs (docs/ARCHITECTURE.md, "Processes and keys"). A name
ending in ``_FILE`` names a file that holds the value.
"""

from __future__ import annotations

from pathlib import Path

from environ import FileAwareEnv

env = FileAwareEnv()
BASE_DIR = Path(__file__).resolve().parent.parent

FACES = ("masked", "unmasked", "signer", "worker", "migrator", "supervisor")
FACE: str = env.str("TRIALSITE_FACE", default="supervisor")
EVALUATION: bool = env.bool("TRIALSITE_EVALUATION", default=False)
DEPLOYMENT: str = env.str("TRIALSITE_DEPLOYMENT", default="trialsite.local")
TRIAL_FILE: str = env.str("TRIAL_FILE", default=str(BASE_DIR / "trialsite/trials/NCT04293692.toml"))

# Paths of keys, never their contents: a key is read where it is used, and the module that opens
# arms is not imported by masked code at all. "" where this process has no such key.
PUBLIC_KEYS_FILE: str = env.str("PUBLIC_KEYS_FILE", default="")
CODE_BREAK_KEY_FILE: str = env.str("CODE_BREAK_KEY_FILE", default="")
LOG_KEY_FILE: str = env.str("LOG_KEY_FILE", default="")
IDENTITY_KEY_FILE: str = env.str("IDENTITY_KEY_FILE", default="")
FACTOR_KEY_FILE: str = env.str("FACTOR_KEY_FILE", default="")
# Commands that enrol or check people of both sides get the masked face's factor key beside their own.
MASKED_FACTOR_KEY_FILE: str = env.str("MASKED_FACTOR_KEY_FILE", default="")
CHECKPOINT_FILE: str = env.str("CHECKPOINT_FILE", default="")

# Commands that need no secret (serve, demo, checks of the code) run as the supervisor.
SECRET_KEY: str = env.str("SECRET_KEY", default="") or "supervisor-signs-nothing"
SECRET_KEY_FALLBACKS: list[str] = env.list("SECRET_KEY_FALLBACKS", default=[])
DEBUG = False
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])

INSTALLED_APPS = [
    "trialsite.clock",
    "trialsite.audit",
    "trialsite.accounts",
    "trialsite.outbox",
    "randomization",
    "supply",
    "trialsite.api",
    "trialsite.deployment",
    # Without autodiscovery: the admin shows what trialsite.urls.admin names, not what is installed.
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "knox",
    "axes",
    "csp",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]

MIDDLEWARE = [
    "trialsite.api.middleware.ProblemResponses",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "trialsite.urls.unmasked" if FACE == "unmasked" else "trialsite.urls.masked"
WSGI_APPLICATION = "trialsite.wsgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "trialsite/templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {"default": env.db_url("DATABASE_URL", default="postgresql://127.0.0.1:1/none")}
DATABASES["default"].update(
    CONN_MAX_AGE=60,
    CONN_HEALTH_CHECKS=True,
    OPTIONS={
        **DATABASES["default"].get("OPTIONS", {}),
        # A literal in a statement reaches the server's log when the statement fails; a bound
        # parameter does not.
        "server_side_binding": True,
        # Whoever serves asks the same again and again: a statement is planned once for a connection.
        **({"assume_role": "irt_owner"} if FACE == "migrator" else {"prepare_threshold": 1}),
    },
)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 15}},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
# Lock-out of a person from an address for minutes, never for good: a permanent one could be
# caused by a stranger. The signature of an unblinding does not pass here at all.
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.1  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
# What was sent is kept with an attempt; a code that was not used up must not be.
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "otp", "csrfmiddlewaretoken"]
AXES_LOCKOUT_CALLABLE = "trialsite.api.errors.locked_out"
AXES_DISABLE_ACCESS_LOG = True
AXES_VERBOSE = False

# ``check --deploy`` demands transport security; evaluation is plain HTTP on loopback.
_TLS = not EVALUATION
SESSION_COOKIE_NAME = "__Host-session" if _TLS else f"{FACE}-session"
CSRF_COOKIE_NAME = "__Host-csrf" if _TLS else f"{FACE}-csrf"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _TLS
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Strict"
SESSION_COOKIE_AGE = 8 * 3600
LOGIN_REDIRECT_URL = "/admin/"
SECURE_SSL_REDIRECT = _TLS and env.bool("SSL_REDIRECT", default=True)
# Health checks come from inside the container, where there is no TLS.
SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _TLS else None
SECURE_HSTS_SECONDS = 31_536_000 if _TLS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = _TLS
SECURE_REFERRER_POLICY = "no-referrer"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
    },
}

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
USE_I18N = False
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "trialsite/static"]
# Serve straight from the installed packages: no collectstatic step that a newcomer could forget.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

MAIL_DIR: str = env.str("MAIL_DIR", default="")
if MAIL_DIR:
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = MAIL_DIR
elif env.str("EMAIL_URL", default=""):
    vars().update(env.email_url("EMAIL_URL"))
DEFAULT_FROM_EMAIL: str = env.str("MAIL_FROM", default="trialsite@localhost")

BROKER_URL: str = env.str("BROKER_URL", default="memory://" if EVALUATION else "")

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["trialsite.api.authentication.BearerToken"],
    "DEFAULT_PERMISSION_CLASSES": ["trialsite.api.permissions.DeclaredPermission"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["trialsite.api.parsing.StrictJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "trialsite.api.pagination.Pages",
    "DEFAULT_FILTER_BACKENDS": ["trialsite.api.filtering.NamedFilters"],
    "DEFAULT_SCHEMA_CLASS": "trialsite.api.schema.Schema",
    "EXCEPTION_HANDLER": "trialsite.api.errors.exception_handler",
    "COERCE_DECIMAL_TO_STRING": True,
    "URL_FORMAT_OVERRIDE": None,
    "UNAUTHENTICATED_USER": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
REST_KNOX = {
    "SECURE_HASH_ALGORITHM": "hashlib.sha512",
    "AUTH_HEADER_PREFIX": "Bearer",
    "TOKEN_PREFIX": "irt_",
    "TOKEN_TTL": None,
    "AUTO_REFRESH": False,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "trialsite",
    "VERSION": "v1",
    "OAS_VERSION": "3.1.0",
    "COMPONENT_SPLIT_REQUEST": True,
    # Choices stand where they are used: a name made up for those that several fields share would
    # change with each field that is added.
    "POSTPROCESSING_HOOKS": [],
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "trialsite.logs.WithoutMessages",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        },
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.str("LOG_LEVEL", default="INFO")},
}
