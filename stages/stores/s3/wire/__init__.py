"""What requests carry besides their bodies, and which answers are believed."""
