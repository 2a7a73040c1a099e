"""HTTP: shapes at the door, use cases behind it, problem details on the way out."""
