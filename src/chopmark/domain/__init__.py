"""The nouns and the rules, pure: no input or output, no clock, no randomness."""
