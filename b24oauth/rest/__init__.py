"""One REST call: admission, token, sending, understanding, repeating."""
