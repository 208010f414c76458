ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
WORKDIR /build
RUN python -m venv /opt/venv
COPY requirements/base.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/venv/bin/python -m pip install --disable-pip-version-check --require-hashes -r base.txt

FROM ${BASE_IMAGE}
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=trialsite.settings
# The group owns what a process may write, so that an operator may choose the user's number.
RUN groupadd --gid 10001 trialsite \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin trialsite \
    && install --directory --owner=10001 --group=10001 --mode=2770 /var/lib/trialsite/checkpoints
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY manage.py ./
COPY trialsite ./trialsite
COPY randomization ./randomization
COPY supply ./supply
RUN python -m compileall -q trialsite randomization supply
USER 10001:10001
EXPOSE 8000
CMD ["gunicorn", "--config", "python:trialsite.deployment.web", "--bind", "0.0.0.0:8000"]
