"""The verbs of the system: request types, results, and one table of ops."""
