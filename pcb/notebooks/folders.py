"""Make papermill create the output folder; without this module, papermill fails with a traceback.

papermill has no setting for this. Whenever papermill is imported, it loads this module, which is
registered as an entry point of ``papermill.io``. Such entry points normally add addresses such as
``s3://``; this one only changes how papermill writes files.
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
