"""Statistics that take mergeable summaries, not rows. Usable alone; pure functions of their arguments."""
