"""Taking secrets that did not change from an earlier archive instead of the vault."""
