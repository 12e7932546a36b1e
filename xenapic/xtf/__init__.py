"""Run the tests of Xen's test framework (XTF) as guests, and tell what differs between runs."""
