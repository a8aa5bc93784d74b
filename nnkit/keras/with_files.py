"""A model's files: nnkit's own and Keras's, by the ending of the name when written, by the first bytes when read."""

from __future__ import annotations

import os
import warnings
from typing import Any

from nnkit import io, nn
from nnkit.keras import files, objects

__all__ = ["WithFiles"]


class WithFiles(nn.Module):
    """The part of Model that is saved and loaded."""

    compiled: bool

    def require_built(self) -> None:
        """Raise ValueError where the model has no weights yet."""
        raise NotImplementedError

    def compile_config(self) -> dict[str, Any] | None:
        """What ``compile`` was given, as JSON; None where that has no description."""
        raise NotImplementedError

    def save(
        self, filepath: str | os.PathLike[str], overwrite: bool = True, zipped: bool | None = None,
        include_optimizer: bool = True,
    ) -> None:  # fmt: skip
        """Write the model, its weights and what ``compile`` was given, for :func:`load_model`.

        By the ending of the name: ``.keras`` is Keras 3's own format, with the state of the optimizer, and ``.h5`` the
        older one; both need h5py, and Keras opens them. Any other ending makes a safetensors file, which ``nnkit.load``
        opens, too, and in which what the optimizer remembers of the training is no part. Layers of your own are
        registered by ``keras.saving.register_keras_serializable``, or handed to ``load_model`` as ``custom_objects``;
        a loss or metric that is a function of your own, and not registered, cannot be described, and ``compile`` is
        then left out, after a warning.

        Args:
            filepath: where to.
            overwrite: False raises FileExistsError where there is a file.
            zipped: accepted where it is not False: models are one file.
            include_optimizer: False leaves what ``compile`` was given out of Keras's files.
        """
        if zipped is False:
            raise ValueError("save: zipped=False makes a folder, which nnkit does not write; leave it out")
        if not overwrite and os.path.exists(filepath):
            raise FileExistsError(f"{os.fspath(filepath)!r} exists; pass overwrite=True to replace it")
        with objects.CustomObjectScope({type(part).__name__: type(part) for part in self.modules()}):
            if files.is_keras_ending(filepath):
                files.save_model(self, filepath, include_optimizer)
                return
            if self.compiled and self.compile_config() is None:
                warnings.warn(
                    "the loss, a metric or the optimizer is not one of nnkit.keras, so the file leaves out what "
                    "compile was given; call compile again after loading",
                    stacklevel=2,
                )
            io.save_model(self, filepath)

    def save_weights(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the weights alone: ``.weights.h5`` as Keras 3 does, ``.h5`` as older ones do; else as safetensors."""
        self.require_built()
        if not overwrite and os.path.exists(filepath):
            raise FileExistsError(f"{os.fspath(filepath)!r} exists; pass overwrite=True to replace it")
        if files.is_keras_ending(filepath):
            files.save_weights(self, filepath)
        else:
            io.save(self.state_dict(), filepath)

    def load_weights(
        self, filepath: str | os.PathLike[str], skip_mismatch: bool = False, by_name: bool = False
    ) -> None:
        """Read the weights from a file of :meth:`save_weights` or :meth:`save`, nnkit's or Keras's.

        Args:
            filepath: a safetensors file, ``.keras``, ``.weights.h5`` or an older ``.h5``; its first bytes tell.
            skip_mismatch: read of one of Keras's files what fits, and leave the rest as it is.
            by_name: match the layers of an older ``.h5`` by name, not by place.

        Raises:
            ModelFileError: the weights do not fit; it lists how, and nothing is changed.
        """
        self.require_built()
        kind = files.magic_of(filepath)
        if kind is not None:
            files.load_weights(self, filepath, kind, skip_mismatch, by_name)
        else:
            self.load_state_dict(io.load_state_dict(filepath))
