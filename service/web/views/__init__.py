"""The page's views: each reads what the API would answer, and shows it."""
