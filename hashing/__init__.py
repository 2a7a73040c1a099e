"""What a hash is. Pure: no clock, no network, no storage, no framework."""
