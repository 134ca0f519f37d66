"""What a network takes in memory, read off the record of one pass. Standard library only."""
