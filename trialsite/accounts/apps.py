from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "trialsite.accounts"
    label = "accounts"
