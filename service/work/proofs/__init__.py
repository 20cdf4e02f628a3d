"""What is said of archives: verifications and drills."""
