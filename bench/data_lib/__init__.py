"""What bench/data measures, and the contenders."""
