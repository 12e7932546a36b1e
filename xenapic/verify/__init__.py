"""Compare what the model says with what a real Xen does."""
