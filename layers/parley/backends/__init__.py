"""Where the model runs, behind one port."""
