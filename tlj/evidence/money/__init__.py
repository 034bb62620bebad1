"""What arms cost: parameters, FLOPs, time, money and energy."""
