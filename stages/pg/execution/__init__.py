"""An archive's SQL text executed in an open transaction."""
