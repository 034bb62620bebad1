"""The page: ``summary.json`` drawn and laid out as one HTML document."""
