"""A shop with some thousand synthetic users, to roll features out to: the demo of Pilotage, and its tutorial."""
