"""What `scripts/bench` runs: each file measures one thing, prints a table for people and gives numbers for programs."""
