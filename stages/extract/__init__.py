"""Some of an archive: the stages that choose secrets, make text of them and of rows, and write a file."""
