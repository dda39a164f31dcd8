"""How lists are read page by page: what each list method takes and answers, and which page is requested next.

Only `walk` and `page_requests` do anything; the others are pure.
"""
