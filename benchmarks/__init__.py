"""What the documentation claims, measured: `make bench`."""
