"""The tables of README.md and docs/results.md, a module a topic: from rows of results to text."""
