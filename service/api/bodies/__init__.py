"""What requests bring and answers have, of whole topics: settings, inspections, retention."""
