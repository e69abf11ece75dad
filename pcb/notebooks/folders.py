"""papermill makes the folder of its output, as ``mkdir -p`` does, instead of a traceback.

papermill has no setting for it. It loads this module, which is its entry point ``papermill.io``,
whenever it is imported; the entry point's own use, addresses such as ``s3://``, is not needed.
"""

import os

from papermill.iorw import LocalHandler

_write = LocalHandler.write


def _write_in_new_folder(self: LocalHandler, content: str, path: str) -> None:
    # While a notebook runs elsewhere, papermill keeps what a relative path starts from.
    folder = os.path.dirname(os.path.join(self._cwd or "", path))
    if folder:
        os.makedirs(folder, exist_ok=True)
    _write(self, content, path)


LocalHandler.write = _write_in_new_folder
