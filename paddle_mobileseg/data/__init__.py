"""Reading images and labels, transforms, data sets and batches.

Nothing in this package needs Paddle: samples and batches are NumPy arrays.
"""
