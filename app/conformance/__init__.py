"""What a platform's developers run against their own endpoint before they take part."""
