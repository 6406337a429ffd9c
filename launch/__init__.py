"""Command-line mains; `assemble` is the one room that reads config.*."""
