"""onednn."""
