"""The platforms we tell: who they are, what they are sent, and what they answer."""
