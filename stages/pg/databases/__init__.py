"""Other databases of a server: whether one is there, making and dropping one."""
