"""The section [retention]: which archives are kept."""
