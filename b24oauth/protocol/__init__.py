"""The Bitrix24 protocol: pure functions and values, without I/O, clock or randomness."""
