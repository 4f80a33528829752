"""The Open Inference Protocol: pipelines and graphs as models of tensors, for clients of Triton and KServe."""
