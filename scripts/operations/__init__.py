"""What the owner of a deployment does with it: keys, secrets, dead letters, a look at it. A command, a file."""
