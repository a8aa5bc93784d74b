"""What a tensor is, how it is made, and what was computed with it.

``tensor`` is the array on a device, ``methods`` and ``named_methods`` what can be asked of it, ``creation`` how it is
made, ``dtypes`` what its elements are. ``tape`` remembers what was computed, ``gradients`` walks it back (``walk``,
``watch`` and ``views`` help). ``random`` draws the same numbers on every device, ``precision`` says how exactly
matrices are multiplied. The mathematics itself is in ``nnkit.ops``.
"""
