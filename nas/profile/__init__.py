"""Times of operations and whole networks on a device, and what an additive table makes of them."""
