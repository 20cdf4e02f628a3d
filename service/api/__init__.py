"""The HTTP API of the service: what the web page, scripts and Prometheus talk to."""
