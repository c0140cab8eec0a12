"""What Python users hold: the registry and its surfaces."""
