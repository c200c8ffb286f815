"""In-memory stand-ins for queues, table, secrets and model: same behaviour, none of the emulator's cost.

For tests, and for loads that moto's server cannot carry. `tests/contracts` holds them and the real adapters to one
suite; where moto is kinder or poorer than AWS's documentation, these follow the documentation.
"""
