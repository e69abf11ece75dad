"""Make papermill create a missing output folder instead of failing with a traceback.

This module is registered as an entry point in the group ``papermill.io``, so importing papermill
also imports this module. The module replaces papermill's method for writing local files, because
papermill has no option to create missing folders.
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
