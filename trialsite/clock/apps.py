from django.apps import AppConfig


class ClockConfig(AppConfig):
    name = "trialsite.clock"
    label = "clock"
