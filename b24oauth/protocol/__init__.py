"""How Bitrix24 speaks: pure functions and values, without I/O, clock or randomness."""
