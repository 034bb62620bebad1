"""Files to parameters: reading a source, the initialisation of each arm, and the report that proves a load."""
