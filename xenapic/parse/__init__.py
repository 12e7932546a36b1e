"""Readers of text and bytes from elsewhere, which may be damaged or hostile. Pure: they never touch Xen."""
