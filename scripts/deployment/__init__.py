"""`scripts/deploy`: from a checkout to a stack in the owner's account. Knows AWS; nothing that is deployed knows it."""
