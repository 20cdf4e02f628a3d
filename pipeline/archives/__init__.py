"""What is done with archives as a whole, and the opening of one that every reading shares."""
