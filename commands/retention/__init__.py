"""Commands about which archives are kept."""
