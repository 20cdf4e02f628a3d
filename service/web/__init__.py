"""The page, Backup Management, rendered on the server: it calls the functions of the API's routes."""
