"""AWS behind the ports: table, queues, secrets and what the owner sees. Decides nothing about conversations."""
