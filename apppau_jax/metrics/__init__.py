"""What a segmentor is worth: metrics, their statistics, and the report."""
