"""Where the members of a sweep run: on this machine, or wherever another backend takes them."""
