"""``python -m bench serving``: one server with nnkit's, PyTorch's and ONNX Runtime's predictions of one network."""
