"""What labels buy: learning curves, effective data, and what follows from them."""
