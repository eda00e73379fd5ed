"""Reads and writes .npy and safetensors files by hand, independently of the program's own code."""

import ast
import json
import struct


def read_npy(path):
    """(shape, values) of a float32 C-order array."""
    data = path.read_bytes()
    if data[:8] != b"\x93NUMPY\x01\x00":
        raise AssertionError(f"{path}: is no .npy file of version 1.0: {data[:8]!r}")
    (header_length,) = struct.unpack("<H", data[8:10])
    if (10 + header_length) % 64 != 0:
        raise AssertionError(f"{path}: the values begin at {10 + header_length}, not aligned to 64")
    header = ast.literal_eval(data[10 : 10 + header_length].decode("latin1"))
    if header["descr"] != "<f4" or header["fortran_order"]:
        raise AssertionError(f"{path}: {header}")
    num_values = 1
    for size in header["shape"]:
        num_values *= size
    body = data[10 + header_length :]
    if len(body) != 4 * num_values:
        raise AssertionError(f"{path}: {len(body)} bytes of values for {header['shape']}")
    return header["shape"], struct.unpack(f"<{num_values}f", body)


def split_safetensors(data):
    """(header, tensor bytes)."""
    (header_length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + header_length]), data[8 + header_length :]


def join_safetensors(header, body):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def read_safetensors_f32(path, name):
    """(shape, values) of one float32 tensor."""
    header, body = split_safetensors(path.read_bytes())
    entry = header[name]
    if entry["dtype"] != "F32":
        raise AssertionError(f"{path}: {name}: {entry}")
    begin, end = entry["data_offsets"]
    return tuple(entry["shape"]), struct.unpack(f"<{(end - begin) // 4}f", body[begin:end])
