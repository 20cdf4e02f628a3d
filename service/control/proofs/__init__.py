"""What verifications and drills have said of archives, in the control tables."""
