"""What comes in: sources, columns, the checked catalogue, titles, quantities, photos and their hashes, labels."""
