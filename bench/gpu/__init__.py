"""``python -m bench gpu``: whether ``device="cuda"`` is right and fast, by one command on any machine with a GPU.

What is worth most comes first (``plan``), and each result is a line at once (``lines``), of which alone the page is
made (``findings``, ``render``). So a run may end at any time, and the next one of the same sources, versions, sizes and
card does what has no outcome yet: checks, single tests, rows of speed. Facts are found out anew each time.

The command's own process never uses the GPU. Whatever does runs in processes that it starts, waits for as long as they
say something (that they compile, too), and starts again when one has died: so neither a crash nor a hang keeps the
others from being reported, and a slow machine fails nothing. ``needs`` has the kernels compiled ahead.
"""

from bench import sources

sources.find()
