"""Chalice's side of Parley: routes and events on one end, the stages on the other."""
