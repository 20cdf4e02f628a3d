"""The engine, which lies below the stages, and the pipelines made of them, which lie above: the top level was given."""
