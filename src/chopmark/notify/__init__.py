"""Reaching others: over connections to addresses that were checked, by HTTP, e-mail or the library apprise."""
