"""Jobs around the two DAGs: configuration and the demo today."""
