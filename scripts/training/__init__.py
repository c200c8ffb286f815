"""Commands of inference/training that need the rest of the repository: the table, the prices, the stack."""
