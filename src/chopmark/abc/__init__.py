"""What plug-ins implement: blob stores, catalogs, formats. Promises only, no code."""
