"""The calls of libxenctrl, a module per area; `xenapic.abi.handle.Handle` holds them all."""
