"""Authentication: the token pair, its refresh and its persistence. Does not depend on `limits`."""
