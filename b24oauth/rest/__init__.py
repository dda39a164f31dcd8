"""One REST call: rate limiting, token, sending, decoding, retrying."""
