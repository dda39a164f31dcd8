"""When may I: the portal's rate, the methods' execution time, and pauses after slow calls. Knows nothing of tokens."""
