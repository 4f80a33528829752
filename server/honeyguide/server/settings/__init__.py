"""What an operator may set: declared by subject, read from file, environment and flags."""

from honeyguide.server.settings.access import CallerSettings
from honeyguide.server.settings.declared import Settings
from honeyguide.server.settings.pipelines import PipelineSettings, RuleSettings
from honeyguide.server.settings.reading import SettingRow, describe_settings, load_settings, make_settings

__all__ = [
    "CallerSettings",
    "PipelineSettings",
    "RuleSettings",
    "SettingRow",
    "Settings",
    "describe_settings",
    "load_settings",
    "make_settings",
]
