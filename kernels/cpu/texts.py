"""Rows of numbers out of a text in JSON, as float32, without Python's objects in between and without its lock.

A decimal number is whole digits times a power of ten. Both as float64, and their product or quotient, are off by four
units of float64's last place at most (Clinger 1990, How to read floating point numbers accurately, but for its slow
part). Where all float64 within that distance round to one float32, it is the one that the exact number rounds to by way
of float64; elsewhere, and for anything but plain rows, the kernel gives up and leaves the text to a whole parser.
"""

from __future__ import annotations

import functools

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.words import memory_words

__all__ = ["LARGEST_POWER", "MOST_DIGITS", "rows_kernel"]

#: Of the numbers that the kernel reads: more digits do not fit into int64, and larger powers not into the bound.
MOST_DIGITS, LARGEST_POWER = 18, 40

# Block: [text, where the first row begins, out, room in it (numbers), columns, powers of ten; rows found or -1, where
# they end]. The text ends with a byte 0, which no number, space or bracket is: so nothing is read beyond it.
ROWS = f"""
def kernel(block):
    text, out, powers = byte(block[0]), pointer(block[2]), double(block[5])
    i, room, columns = block[1], block[3], block[4]
    block[6], n, rows = -1, 0, 0
    while True:
        while text[i] == 32 or text[i] == 10 or text[i] == 13 or text[i] == 9:
            i += 1
        if text[i] != 91 or n + columns > room:  # [
            return
        k = 0
        while True:
            i += 1
            while text[i] == 32 or text[i] == 10 or text[i] == 13 or text[i] == 9:
                i += 1
            negative = text[i] == 45  # -
            if negative:
                i += 1
            number, power, first, digit = 0, 0, i, text[i] - 48
            while 0 <= digit <= 9:
                number = 10 * number + digit
                i += 1
                digit = text[i] - 48
            digits = i - first
            if digits == 0 or (text[first] == 48 and digits > 1):  # nothing, or 07
                return
            if digit == -2:  # .
                i += 1
                point = first = i
                if number == 0:
                    while text[i] == 48:
                        i += 1
                    digits, first = 0, i
                digit = text[i] - 48
                while 0 <= digit <= 9:
                    number = 10 * number + digit
                    i += 1
                    digit = text[i] - 48
                digits += i - first
                power = point - i
                if power == 0:
                    return
            if text[i] == 101 or text[i] == 69:  # e, E
                i += 1
                down = text[i] == 45
                if down or text[i] == 43:  # +
                    i += 1
                exponent, first = 0, i
                while 48 <= text[i] <= 57:
                    exponent = min(10 * exponent + text[i] - 48, 1000)
                    i += 1
                if i == first:
                    return
                power += -exponent if down else exponent
            if digits > {MOST_DIGITS} or (number == 0 and negative) or k == columns:
                return
            value = 1.0 * number
            if number != 0:
                if power < -{LARGEST_POWER} or power > {LARGEST_POWER}:
                    return
                value = value / powers[-power] if power < 0 else value * powers[power]
                least, most = element(value * (1.0 - 2.0**-50)), element(value * (1.0 + 2.0**-50))
                if least != most or least < 1.2e-38 or most > 3.4e38:
                    return
            out[n + k] = element(-value if negative else value)
            k += 1
            while text[i] == 32 or text[i] == 10 or text[i] == 13 or text[i] == 9:
                i += 1
            if text[i] != 44:  # ,
                break
        if text[i] != 93 or k != columns:  # ]
            return
        i, n, rows = i + 1, n + columns, rows + 1
        while text[i] == 32 or text[i] == 10 or text[i] == 13 or text[i] == 9:
            i += 1
        if text[i] != 44:
            break
        i += 1
    if text[i] == 93:
        block[6], block[7] = rows, i + 1
"""


@functools.cache
def rows_kernel() -> Kernel:
    """Rows of numbers between brackets, after the bracket that opens all of them, to the one that closes it."""
    return load(Source("rows_of_text", ROWS, memory_words, ("float32",)))
