"""One use case a file: load, check, change, record, commit."""
