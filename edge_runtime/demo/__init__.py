"""Everything at once: a broker, a small factory, the daemon with two models, and a scoreboard against the truth."""
