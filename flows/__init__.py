"""The only place that knows Prefect: the nightly flow, one scene's flow, and the command line above them."""
