"""The science: arrays and tensors only; no file, no clock, no orchestrator."""
