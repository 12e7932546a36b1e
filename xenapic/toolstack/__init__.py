"""What toolstacks make of a configuration: the create request that xl and libxl send, or their refusal."""
