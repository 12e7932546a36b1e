"""What Xen accepts, reports and refuses, by release. Pure: nothing here touches Xen."""
