"""What networks run on: devices with their figures, and the least time that a network takes there."""
