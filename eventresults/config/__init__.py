"""Settings, read once at the edge: an argument, then the URL, then the environment, then `eventresults.toml`, then the default."""

from eventresults.config.load import load_settings
from eventresults.config.settings import Settings, settings_table
from eventresults.config.url import LogUrl, mask_url, parse_url

__all__ = ["LogUrl", "Settings", "load_settings", "mask_url", "parse_url", "settings_table"]
