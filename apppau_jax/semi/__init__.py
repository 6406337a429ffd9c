"""semi."""
