"""Text and bytes that others wrote, read without believing them. Pure: nothing here touches Xen."""
