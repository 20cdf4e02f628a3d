"""What jobs say while they run and when they ended: frozen data, sentences and JSON."""
