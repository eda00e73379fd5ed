"""A copy of the test model, by links, with files replaced."""

import json

import array_files
import program


class EditedModel:
    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        for file in program.MODEL.iterdir():
            (folder / file.name).symlink_to(file)

    def remove(self, name):
        (self.folder / name).unlink()

    def replace(self, name, content):
        self.remove(name)
        (self.folder / name).write_bytes(content)

    def edit_json(self, name, **fields):
        """Sets fields of the original file; ... as a value removes one."""
        content = json.loads((program.MODEL / name).read_text())
        content.update(fields)
        kept = {field: value for field, value in content.items() if value is not ...}
        self.replace(name, json.dumps(kept).encode())

    def edit_header(self, shard, edit):
        """Rewrites a shard with its header as edit(header) leaves it."""
        header, body = array_files.split_safetensors((program.MODEL / shard).read_bytes())
        edit(header)
        self.replace(shard, array_files.join_safetensors(header, body))
