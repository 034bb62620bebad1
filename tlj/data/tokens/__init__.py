"""Text to token ids: tokenised once, padded to one of a few lengths or packed, and gathered into batches."""
