"""The runner behind bench/run: starts servers, does the works, writes the table."""
