"""Small files that claim gigabytes, or hours: each is to be refused within a second and 200 MB.

`BOMBS` maps a name to a function that writes the file into a folder and returns the call that reads it. Run as a
program with a folder where they are, it reads them all and prints what each took.
"""

import io
import json
import pickle
import struct
import sys
import tarfile
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np

import minidl
from minidl.data import load_cifar10, load_emnist, read_idx
from minidl.data.images import image_batches
from minidl.training.checkpoint import read_checkpoint

GIGA = 1000 * 2**20


def deflated(head, zeros):
    """A raw deflate stream of ``head`` and so many zeros; a piece that is compressed once is repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    begin = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    piece = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return begin + piece * (zeros // 2**20) + packer.flush()


def gzipped(head, zeros):
    """The same as a gzip file; its checksum is wrong."""
    length = len(head) + zeros
    return b"\x1f\x8b\x08" + bytes(7) + deflated(head, zeros) + struct.pack("<II", 0, length % 2**32)


def zipped(members):
    """A zip archive of (name, head, zeros): deflated members whose sizes are true, and whose checksums are not."""
    body, directory = b"", b""
    for name, head, zeros in members:
        packed, size = deflated(head, zeros), len(head) + zeros
        fields = struct.pack("<HHHHHIII", 20, 0, 8, 0, 33, 0, len(packed), size)
        directory += b"PK\x01\x02" + struct.pack("<H", 20) + fields
        directory += struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, len(body)) + name
        body += b"PK\x03\x04" + fields + struct.pack("<HH", len(name), 0) + name + packed
    return body + directory + end(len(members), len(directory), len(body))


def end(count, size, start):
    return b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, size, start, 0)


def npy(shape):
    """The header of a .npy file."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def overlapping(count, megabytes=200):
    """An archive whose members all are the same bytes: 200 kB of it stand for ``count`` times as many megabytes."""
    whole = zipped([(b"00000.npy", npy((2**18 * megabytes,)), megabytes * 2**20)])
    start = whole.index(b"PK\x01\x02")
    entry = whole[start : whole.index(b"PK\x05\x06")]
    directory = b"".join(entry.replace(b"00000.npy", b"%05d.npy" % n) for n in range(count))
    return whole[:start] + directory + end(count, len(directory), start)


def crowded(count, large=False):
    """An archive with many members of no bytes; with ``large``, its end is that of an archive of any size."""
    directory = b"".join(
        b"PK\x01\x02"
        + struct.pack("<HHHHHHIII", 20, 20, 0, 0, 0, 33, 0, 0, 0)
        + struct.pack("<HHHHHII", 7, *[0] * 6)
        + b"%07d" % n
        for n in range(count)
    )
    if not large:
        return directory + end(count % 2**16, len(directory), 0)
    size = len(directory)
    record = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, size, 0)
    return directory + record + b"PK\x06\x07" + struct.pack("<IQI", 0, size, 1) + end(2**16 - 1, 2**32 - 1, 2**32 - 1)


def plain_zip(**members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return stream.getvalue()


def lying_npy():
    """A .npy file that claims 40 GB and holds 4 bytes."""
    return npy((10**10,)) + bytes(4)


def doubled():
    """A pickle of labels that are 2**40 numbers: each list holds the one before it twice."""
    value = [0]
    for _ in range(40):
        value = [value, value]
    return pickle.dumps({b"labels": value, b"data": np.zeros((1, 3072), np.uint8)}, protocol=2)


def hashed():
    """A pickle whose key takes 2**40 steps to hash: each tuple holds the one before it twice."""
    return b"\x80\x02K\x00\x85q\x00" + b"h\x00h\x00\x86q\x00" * 40 + b"}h\x00K\x01s."


def one_file(name, content, read):
    def write(folder):
        path = folder / name
        if not path.exists():
            path.write_bytes(content())
        return lambda: read(path)

    return write


def cifar(content):
    """The Python files of CIFAR-10, of which the first is given."""

    def write(folder):
        place = folder / "cifar-10-batches-py"
        if not place.exists():
            place.mkdir()
            for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"):
                (place / name).write_bytes(content())
        return lambda: load_cifar10(folder)

    return write


def cifar_archive(content):
    return one_file("cifar-10-binary.tar.gz", content, lambda path: load_cifar10(path.parent))


def crowded_tar():
    """A gzipped tar archive of 400,000 members, 200 MB."""
    member = tarfile.TarInfo("x").tobuf(tarfile.USTAR_FORMAT)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(member * 2048) + packer.flush(zlib.Z_FULL_FLUSH)
    crc = 0
    for _ in range(200):
        crc = zlib.crc32(member * 2048, crc)
    whole = piece * 200 + packer.flush()
    return b"\x1f\x8b\x08" + bytes(7) + whole + struct.pack("<II", crc, 200 * 2048 * len(member))


def sparse_tar():
    """A tar archive with a member of 8 GB, of which nothing is there."""
    header = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
    header.type = tarfile.GNUTYPE_SPARSE
    block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    block[483:495] = b"%011o\0" % (8 * GIGA)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(1024)


BOMBS = {
    "npz, 4 GB of zeros": one_file("a.npz", lambda: zipped([(b"w.npy", npy((GIGA,)), 4 * GIGA)]), minidl.load),
    "npz, 2**16 times the same": one_file("a.npz", lambda: overlapping(2**16 - 1), minidl.load),
    "npz, twice the same": one_file("a.npz", lambda: overlapping(2, 10), minidl.load),
    "npz, 80,000 members": one_file("a.npz", lambda: crowded(80_000), minidl.load),
    "npz, 80,000 members, 64 bits": one_file("a.npz", lambda: crowded(80_000, large=True), minidl.load),
    "npz, a header of 40 GB": one_file("a.npz", lambda: plain_zip(w__npy=lying_npy()), minidl.load),
    "npz, deep JSON": one_file("a.npz", lambda: plain_zip(tree__json="[" * 10**6 + "]" * 10**6), minidl.load),
    "npz, long JSON": one_file("a.npz", lambda: plain_zip(tree__json="[" + "[]," * 2**24 + "0]"), minidl.load),
    "checkpoint, 4 GB": one_file(
        "a.ckpt", lambda: zipped([(b"state.json", b"", 0), (b"0.npy", npy((GIGA,)), 4 * GIGA)]), read_checkpoint
    ),
    "checkpoint, deep JSON": one_file(
        "a.ckpt",
        lambda: plain_zip(state__json='{"format": 1, "state": ' + "[" * 10**5 + "]" * 10**5 + "}"),
        read_checkpoint,
    ),
    "idx.gz, 4 GB": one_file(
        "x-idx3-ubyte.gz", lambda: gzipped(b"\0\0\x08\x03" + struct.pack(">III", 2**22, 32, 32), 4 * GIGA), read_idx
    ),
    "idx.gz, 4 GB behind a small array": one_file(
        "x-idx1-ubyte.gz", lambda: gzipped(b"\0\0\x08\x01" + struct.pack(">I", 2**20), 4 * GIGA), read_idx
    ),
    "gzip.zip, 4 GB": one_file(
        "gzip.zip",
        lambda: zipped([(b"emnist-balanced-train-images-idx3-ubyte.gz", b"", 4 * GIGA)]),
        lambda path: load_emnist(path.parent),
    ),
    "tar.gz, 4 GB": cifar_archive(lambda: gzipped(b"", 4 * GIGA)),
    "tar.gz, 400,000 members": cifar_archive(crowded_tar),
    "tar, a sparse member": cifar_archive(sparse_tar),
    "pickle, lists of lists": cifar(doubled),
    "pickle, a key of tuples": cifar(hashed),
    "pickle, a memo of 16 GB": cifar(lambda: b"\x80\x02}r\xff\xff\xff\x7f."),
    "pickle, four million lists": cifar(lambda: b"\x80\x02" + b"]" * 4_000_000 + b"."),
    "pickle, texts again and again": cifar(
        lambda: (
            b"\x80\x02c_codecs\nencode\nq\x00X"
            + struct.pack("<I", 2**22)
            + b"a" * 2**22
            + b"q\x01U\x06latin1\x86q\x02"
            + b"h\x00h\x02R" * 1000
            + b"."
        )
    ),
    "npy, a header of 40 GB": one_file("a.npy", lying_npy, lambda path: list(image_batches([path], (1, 8, 8)))),
    "safetensors, a header of 8 EB": one_file("a.safetensors", lambda: struct.pack("<Q", 2**63) + b"{}", minidl.load),
}


def bombs(folder):
    """Write the files that are not there yet; return the calls that read them, by name."""
    calls = {}
    for number, (name, write) in enumerate(BOMBS.items()):
        place = Path(folder) / str(number)
        place.mkdir(parents=True, exist_ok=True)
        calls[name] = write(place)
    return calls


def main(folder):
    """Read the files, which another process has written; print a line of JSON for each."""
    try:
        import resource
    except ImportError:  # Windows
        resource = None
    unit = 1 if sys.platform == "darwin" else 1024

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit if resource else 0

    calls, before = bombs(folder), peak()
    for name, call in calls.items():
        start = time.process_time()
        try:
            call()
            message = "it was read"
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
        seconds, grown = time.process_time() - start, peak() - before
        print(json.dumps({"name": name, "seconds": seconds, "bytes": grown, "message": message}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
