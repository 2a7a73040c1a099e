"""A device as a program: hashes on this machine, talks to a service over HTTP, keeps nothing."""
