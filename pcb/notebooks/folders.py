"""Make papermill create a missing output folder instead of failing with a traceback.

papermill imports this module whenever papermill itself is imported, because this module is
registered as an entry point of ``papermill.io``. These entry points normally add support for
addresses such as ``s3://``. This module changes how papermill writes files, because papermill has
no option to create missing folders.
"""

import os

from papermill.iorw import LocalHandler

_write = LocalHandler.write


def _write_in_new_folder(self: LocalHandler, content: str, path: str) -> None:
    # While a notebook runs in a different folder, relative paths still start at `_cwd`.
    folder = os.path.dirname(os.path.join(self._cwd or "", path))
    if folder:
        os.makedirs(folder, exist_ok=True)
    _write(self, content, path)


LocalHandler.write = _write_in_new_folder
