"""Which archives are kept and which go: pins, the rules, and their use on a store."""
