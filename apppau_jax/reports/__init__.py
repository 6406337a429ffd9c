"""Reports of trained models: numbers, an HTML page, and figures."""
