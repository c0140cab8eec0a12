"""Small foundations: ids, clock, digests, JSON, paging, plugins, settings."""
