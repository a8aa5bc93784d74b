"""``python -m bench gpu``: whether ``device="cuda"`` is right and fast, by one command on any machine with a GPU.

The command's own process never uses the GPU. Whatever does runs in processes that it starts, waits for no longer than
it has time, and starts again when one has died: so neither a crash nor a hang keeps the others from being reported.
"""

from bench import sources

sources.find()
