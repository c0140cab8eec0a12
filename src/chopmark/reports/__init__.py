"""Pure renderings of what the registry knows: text, SVG and JSON, from the nouns of the domain."""
