"""The report of a build: one JSON file, and one page that is drawn from it."""
