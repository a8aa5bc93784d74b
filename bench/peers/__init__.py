"""The peers' side of every workload, one file for each library, with its own defaults."""
