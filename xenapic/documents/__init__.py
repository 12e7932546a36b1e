"""The JSON documents that xenapic writes and reads."""
