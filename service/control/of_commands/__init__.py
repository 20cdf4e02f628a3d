"""What commands write into the control tables, and ask of them."""
