"""What Xen takes, says and refuses, release by release. Pure: nothing here touches Xen."""
