"""A small factory with known truth, and playback of real recordings."""
