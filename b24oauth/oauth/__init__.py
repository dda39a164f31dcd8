"""Who am I: the token pair, its renewal and its persistence. Knows nothing of limits."""
