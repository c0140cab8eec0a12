"""For authors of plug-ins: contract suites and honest stand-ins."""
