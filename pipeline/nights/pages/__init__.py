"""Pages about more than one product, for a browser without a network."""
