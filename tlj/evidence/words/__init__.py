"""Words: the answer, the findings, and how numbers are said."""
