"""What is true of a conversation, whatever carries it: plain values, no input or output, standard library only."""
