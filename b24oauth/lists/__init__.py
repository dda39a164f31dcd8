"""How lists are read page by page: what each list method takes and answers, and which page is asked for next. Pure."""
