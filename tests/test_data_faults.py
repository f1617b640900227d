"""What can go wrong with data, tried: network, archives, processes, disks, images, labels.

Every server here listens on the loopback address; nothing outside this machine is asked.
"""
import errno
import gzip
import hashlib
import io
import multiprocessing
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time
import traceback

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile
from test_data import age, draw, empty_cache, layout, shelf

from fastbook_ch4 import data
from fastbook_ch4.data import is_standin, load_digits, load_sample, mnist_sample

POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals or mounts")


@pytest.fixture
def cache(tmp_path, monkeypatch): return empty_cache(tmp_path, monkeypatch)


def leftovers(cache):
    "Whatever lies in the cache half-made."
    return sorted(str(o.relative_to(cache)) for o in cache.rglob("*") if ".tmp" in o.name or o.suffix == ".part")


def pack(folder, archive):
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar: tar.add(folder, "mnist_sample")
    return archive


@pytest.fixture(scope="module")
def tgz(tmp_path_factory):
    "A small whole archive: 4 x 20 images."
    folder = tmp_path_factory.mktemp("small")
    return pack(layout(folder / "d"), folder / "small.tgz")


def small_standin(folder, seed=42):
    layout(folder)
    (folder / "STANDIN.txt").write_text("small")


@pytest.fixture
def quick(cache, monkeypatch):
    "A stand-in that is made in no time, and a short patience for the network."
    monkeypatch.setattr(data, "_make_standin", small_standin)
    monkeypatch.setattr(data, "_WAIT", .4)
    return cache


# ---- the network

class Server:
    "A loopback server that answers each connection with `answer(connection)` once it has read the request."

    def __init__(self, answer):
        self.answer, self.asked, self.end = answer, 0, threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/mnist_sample.tgz"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try: connection, _ = self.socket.accept()
            except OSError: return
            self.asked += 1
            threading.Thread(target=self.talk, args=[connection], daemon=True).start()

    def talk(self, connection):
        try:
            with connection:
                connection.recv(1 << 16)
                self.answer(connection, self.end)
        except OSError: pass  # the other side hung up

    def __enter__(self): return self

    def __exit__(self, *_):
        self.end.set()
        self.socket.close()


def whole(content, length=None, pause=0., step=1 << 16):
    "An answer with `content`; `length`: the length that it claims to have; `pause` seconds between pieces of `step`."
    def answer(connection, end):
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % (length or len(content)))
        for i in range(0, len(content), step):
            connection.sendall(content[i:i + step])
            if end.wait(pause): return
    return answer


def silence(connection, end): end.wait()


def then_silence(content):
    def answer(connection, end):
        whole(content[:len(content) // 2], length=len(content))(connection, end)
        end.wait()
    return answer


@pytest.fixture
def served(quick, tgz, monkeypatch):
    "Serve something in the place of fastai's archive; the published size and hash are those of the small archive."
    content, servers = tgz.read_bytes(), []
    monkeypatch.setattr(data, "_SIZE", len(content))
    monkeypatch.setattr(data, "_MD5", hashlib.md5(content, usedforsecurity=False).hexdigest())
    def serve(answer):
        servers.append(Server(answer).__enter__())
        monkeypatch.setattr(data, "_URL", servers[-1].url)
        return servers[-1]
    yield serve
    for server in servers: server.__exit__()


def test_the_real_address_is_https(): assert data._URL.startswith("https://")


def test_a_whole_download_is_taken_and_kept(served, tgz, capsys):
    server = served(whole(tgz.read_bytes()))
    root = mnist_sample()
    assert capsys.readouterr().out == "digits: MNIST_SAMPLE, downloaded from fastai\n"
    assert not is_standin(root) and mnist_sample(verbose=False) == root and server.asked == 1


@pytest.mark.parametrize("fault", ["cut", "stalled", "silent", "trickle", "other bytes", "another date",
                                   "one byte more", "too long", "404", "refused", "sent on to http"])
def test_no_whole_download_gives_the_standin(served, tgz, capsys, monkeypatch, fault):
    content = tgz.read_bytes()
    def flipped(at): return content[:at] + bytes([content[at] ^ 1]) + content[at + 1:]
    answers = {"cut": whole(content[:len(content) // 2], length=len(content)), "stalled": then_silence(content),
               "silent": silence, "trickle": whole(content, pause=.05, step=10), "other bytes": whole(flipped(500)),
               "another date": whole(flipped(4)), "one byte more": whole(content + b"\0"),
               "too long": whole(content * 50), "refused": silence,
               "404": lambda c, _: c.sendall(b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
               "sent on to http": whole(content)}
    server = served(answers[fault])
    if fault == "refused": server.socket.close()
    if fault == "sent on to http":
        class Elsewhere:
            "urlopen that follows a redirection from https to http, as urllib does."
            def __init__(self, url, timeout): self.url = server.url
            def __enter__(self): return self
            def __exit__(self, *_): pass
            def read1(self, n): return b"" if hasattr(self, "given") else setattr(self, "given", 1) or content
        monkeypatch.setattr(data, "_URL", server.url.replace("http", "https"))
        monkeypatch.setattr(data.urllib.request, "urlopen", Elsewhere)
    root = mnist_sample()
    assert is_standin(root) and len(load_digits(root / "train" / "3")) == 20
    assert "STAND-IN" in (said := capsys.readouterr().out) and "no download: " in said and said.count("\n") == 1
    assert not leftovers(data.cache_dir()) and not (data.cache_dir() / "mnist_sample").exists()


def test_a_host_name_that_nobody_answers_for(quick, monkeypatch):
    over, gave_up = threading.Event(), []
    def look_up(*_, **__):
        if not over.wait(20): gave_up.append(1)
        return []
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert is_standin(mnist_sample(verbose=False)) and not gave_up  # we did not wait for the end of the look-up
    over.set()


def test_with_the_real_patience_nothing_waits_longer_than_ten_seconds(served, monkeypatch):
    monkeypatch.setattr(data, "_WAIT", 4.)
    served(silence)
    start = time.monotonic()
    assert is_standin(mnist_sample(verbose=False)) and time.monotonic() - start < 10


def test_a_slow_but_steady_download_is_waited_for(served, tgz, monkeypatch):
    content = tgz.read_bytes()
    monkeypatch.setattr(data, "_SLOWEST", len(content) / 8)
    served(whole(content, pause=.1, step=len(content) // 12 + 1))
    assert not is_standin(mnist_sample(verbose=False))


def test_after_a_failure_nobody_asks_for_a_while_and_then_again(served, tgz, capsys):
    server = served(silence)
    for _ in range(3): assert is_standin(mnist_sample())
    assert server.asked == 1 and "the last try failed a few minutes ago" in capsys.readouterr().out
    os.utime(data.cache_dir() / "no-network", (1e9, 1e9))
    served(whole(tgz.read_bytes()))
    assert not is_standin(mnist_sample(verbose=False))


def test_a_partial_fastai_copy_is_not_taken(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "COUNTS", dict.fromkeys(data.COUNTS, 20))
    monkeypatch.setattr(data, "_URL", "http://127.0.0.1:9/")
    copy = layout(tmp_path / "fastai" / "data" / "mnist_sample")
    (copy / "valid" / "7" / "19.png").rename(copy / "valid" / "7" / "._19.png")
    assert is_standin(mnist_sample(verbose=False))
    (copy / "valid" / "7" / "._19.png").rename(copy / "valid" / "7" / "19.png")
    assert mnist_sample(verbose=False) == copy


# ---- archives

def with_member(archive, name, kind=tarfile.REGTYPE, link="", content=b"x"):
    "A gzipped tar file with one good member and one of the given kind."
    with tarfile.open(archive, "w:gz") as tar:
        for o, k in (("mnist_sample/good.txt", tarfile.REGTYPE), (name, kind)):
            info = tarfile.TarInfo(o)
            plain = k == tarfile.REGTYPE
            info.type, info.linkname, info.size = k, "" if plain else link, len(content) * plain
            tar.addfile(info, io.BytesIO(content))
    return archive


@pytest.mark.parametrize("name, kind, link", [
    ("../evil.txt", tarfile.REGTYPE, ""), ("mnist_sample/../../evil.txt", tarfile.REGTYPE, ""),
    ("/tmp/evil.txt", tarfile.REGTYPE, ""), ("..\\evil.txt", tarfile.REGTYPE, ""), ("C:evil.txt", tarfile.REGTYPE, ""),
    ("mnist_sample/evil.txt", tarfile.SYMTYPE, "/etc/passwd"), ("mnist_sample/evil.txt", tarfile.LNKTYPE, "../../x"),
    ("mnist_sample/evil.txt", tarfile.SYMTYPE, "good.txt"), ("mnist_sample/evil", tarfile.CHRTYPE, ""),
    ("mnist_sample/evil", tarfile.BLKTYPE, ""), ("mnist_sample/evil", tarfile.FIFOTYPE, "")])
def test_members_that_are_links_or_outside_are_refused(cache, tmp_path, name, kind, link):
    archive = with_member(tmp_path / "evil.tgz", name, kind, link)
    extracted = []
    said = r"evil\.tgz holds the member .*, which is a link or points outside its folder; nothing was extracted"
    with pytest.MonkeyPatch.context() as m, pytest.raises(ValueError, match=said):
        m.setattr(tarfile.TarFile, "extractall", lambda *_, **__: extracted.append(1))
        mnist_sample(archive, verbose=False)
    assert not extracted and not leftovers(cache) and not list(tmp_path.rglob("evil.txt"))


def test_an_archive_that_is_cut_anywhere_is_refused(cache, tgz, tmp_path):
    content = tgz.read_bytes()
    for part in (0, 1, 10, 100, len(content) // 2, len(content) - 9, len(content) - 1):
        (tmp_path / "cut.tgz").write_bytes(content[:part])
        with pytest.raises(ValueError, match=r"cut\.tgz is not a whole \.tgz archive"):
            mnist_sample(tmp_path / "cut.tgz", verbose=False)
    assert not leftovers(cache) and not list(cache.glob("archive-*/"))


def test_a_tar_cut_before_it_was_compressed_is_refused(cache, tmp_path, tgz):
    tar = gzip.decompress(tgz.read_bytes())
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened: last = [o for o in opened if o.isfile()][-1]
    (tmp_path / "cut.tgz").write_bytes(gzip.compress(tar[:last.offset_data + last.size - 5]))
    with pytest.raises(ValueError, match=r"cut\.tgz is not a whole \.tgz archive"): mnist_sample(tmp_path / "cut.tgz")
    assert not leftovers(cache)


@pytest.mark.parametrize("content", [b"", b"not an archive", b"\x1f\x8b\x08" + b"x" * 99, b"PK\3\4 zip", bytes(5000)])
def test_a_file_that_is_no_tgz(cache, tmp_path, content):
    (tmp_path / "x.tgz").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.tgz is not a whole \.tgz archive .*expected"):
        mnist_sample(tmp_path / "x.tgz")


def test_a_flipped_byte_anywhere_is_refused_or_harmless(cache, tmp_path, tgz):
    content, rng = tgz.read_bytes(), random.Random(0)
    good = load_sample(tgz, verbose=False)
    for _ in range(20):
        at = rng.randrange(10, len(content))
        (tmp_path / "x.tgz").write_bytes(content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1:])
        try: sample = load_sample(tmp_path / "x.tgz", verbose=False)
        except ValueError as e: assert "x.tgz" in str(e)
        else: assert all(torch.equal(a, b) for a, b in zip(sample, good))


def test_an_archive_that_unpacks_to_far_too_much(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "_MAX_UNPACKED", 1_000_000)
    archive = with_member(tmp_path / "bomb.tgz", "mnist_sample/big", content=bytes(2_000_000))
    assert archive.stat().st_size < 100_000
    opened, unpacked = gzip.open, []
    def watched(*args):
        f = opened(*args)
        read = f.read
        f.read = lambda *n: unpacked.append(read(*n)) or unpacked[-1]
        return f
    monkeypatch.setattr(data.gzip, "open", watched)
    with pytest.raises(ValueError, match=r"bomb\.tgz is not .* \(more than 1,000,000 bytes unpacked\)"):
        mnist_sample(archive)
    assert sum(map(len, unpacked)) == 1_000_001  # no more than that ever is in memory
    header = tarfile.TarInfo("mnist_sample/claims")  # a member that claims to be huge, in a small file
    header.size = 10 ** 12
    (tmp_path / "claims.tgz").write_bytes(gzip.compress(header.tobuf() + bytes(10_000)))
    with pytest.raises(ValueError, match=r"claims\.tgz is not a whole"):
        mnist_sample(tmp_path / "claims.tgz")
    assert not leftovers(cache)


def test_an_archive_of_something_else_names_the_archive(cache, tmp_path):
    archive = with_member(tmp_path / "other.tgz", "mnist_sample/readme.txt")
    with pytest.raises(FileNotFoundError, match=r"other\.tgz.* is not in MNIST_SAMPLE's layout: .*train/3") as e:
        mnist_sample(archive)
    assert str(cache) not in str(e.value) and not leftovers(cache)


# ---- many processes, killed processes

def with_500(folder):
    "A small archive, one folder of which is large enough to be kept as pixels."
    draw(layout(folder / "d") / "train" / "3", 500)
    return pack(folder / "d", folder / "d.tgz")


def _context():
    "Processes that start quickly, from one that has only imported what they need."
    kinds = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in kinds else "spawn")
    if hasattr(context, "set_forkserver_preload"):  # what this file imports; the file itself it may not find
        context.set_forkserver_preload(["fastbook_ch4.data", "pytest", "sklearn.linear_model", "filelock"])
    return context


def _ask(environment, log, start, answers, url=None):
    "In a process of its own: wait for the start, ask for the data, say what came."
    os.environ.update(environment)
    os.environ.pop("FASTBOOK_CH4_DATA", None)
    if url: data._URL, data._WAIT, data._make_standin = url, 1., small_standin
    replace = data._replace

    def logged(target, make):
        with open(log, "a") as f: f.write(f"{os.getpid()} {target.name}\n")
        replace(target, make)
    data._replace = logged
    try:
        start.wait()
        sample = load_sample(environment.get("ASKED_FOR"), verbose=False)
        answers.put(hashlib.sha256(b"".join(o.numpy().tobytes() for o in sample)).hexdigest())
    except BaseException: answers.put(traceback.format_exc())


def _eight(cache, tmp_path, url=None, **environment):
    environment |= {"FASTBOOK_CH4_CACHE": str(cache), "FASTAI_HOME": str(tmp_path / "fastai")}
    context = _context()
    log, start, answers = tmp_path / "log", context.Barrier(8), context.Queue()
    log.touch()
    processes = [context.Process(target=_ask, args=(environment, str(log), start, answers, url)) for _ in range(8)]
    for p in processes: p.start()
    said = [answers.get(timeout=120) for _ in processes]
    for p in processes: p.join(60)
    return said, [line.split()[1] for line in log.read_text().splitlines()]


def test_eight_processes_at_once_prepare_once_and_get_the_same(cache, tmp_path):
    archive = with_500(tmp_path)
    said, prepared = _eight(cache, tmp_path, ASKED_FOR=str(archive))
    expected = load_sample(tmp_path / "d", verbose=False, cache=False)
    assert set(said) == {hashlib.sha256(b"".join(o.numpy().tobytes() for o in expected)).hexdigest()}
    assert len(prepared) == 1 and not leftovers(cache)


def test_eight_processes_without_a_network_wait_once(cache, tmp_path):
    with Server(silence) as server:
        said, prepared = _eight(cache, tmp_path, url=server.url)
        assert len(set(said)) == 1 and len(said[0]) == 64, said
        assert server.asked == 1 and prepared.count("standin-2") == 1


def _load(environment, archive, report):
    os.environ.update(environment)
    report.send("begins")
    load_sample(archive, verbose=False)
    report.send("done")


@POSIX
def test_killed_at_20_random_moments_of_preparing(tmp_path, monkeypatch):
    archive = with_500(tmp_path)
    expected = load_sample(tmp_path / "d", verbose=False, cache=False)
    context, rng, seen = _context(), random.Random(4), []

    def begin(cache):
        receive, send = context.Pipe(duplex=False)
        p = context.Process(target=_load, args=({"FASTBOOK_CH4_CACHE": str(cache)}, str(archive), send))
        p.start()
        assert receive.recv() == "begins"
        return p, receive

    p, receive = begin(tmp_path / "whole")
    start = time.monotonic()
    assert receive.recv() == "done"
    p.join()
    takes = time.monotonic() - start
    for i in range(20):
        cache = tmp_path / f"cache{i}"
        p, _ = begin(cache)
        time.sleep(rng.uniform(0, takes))
        p.kill()
        p.join()
        seen += leftovers(cache)
        monkeypatch.setenv("FASTBOOK_CH4_CACHE", str(cache))
        for _ in range(2):  # once to mend, once from what is kept
            sample = load_sample(archive, verbose=False)
            assert all(torch.equal(a, b) for a, b in zip(sample, expected))
        assert not leftovers(cache)
        shutil.rmtree(cache)
    assert seen  # some kill came in the middle: else this test tests nothing


@POSIX
def test_killed_in_the_middle_of_keeping_pixels(cache, tmp_path):
    images = draw(tmp_path / "a", 500)
    load_digits(tmp_path / "a")
    file = shelf(tmp_path / "a")
    file.rename(file.with_suffix(".part"))
    os.truncate(file.with_suffix(".part"), 10_000)
    (file.parent / "another.part").write_bytes(b"half")
    assert torch.equal(load_digits(tmp_path / "a"), images)
    assert not leftovers(cache) and file.is_file()


def test_a_prepared_copy_that_lost_a_class_is_prepared_again(cache, tgz):
    root = mnist_sample(tgz, verbose=False)
    shutil.rmtree(root / "valid" / "7")
    assert len(load_digits(mnist_sample(tgz, verbose=False) / "valid" / "7")) == 20


def test_a_process_that_hangs_is_not_waited_for_for_ever(cache, tgz, monkeypatch):
    from filelock import FileLock
    cache.mkdir()
    monkeypatch.setattr(data, "_PATIENCE", .3)
    name = f"archive-{hashlib.sha256(tgz.read_bytes()).hexdigest()[:16]}"
    said = r"another process has been preparing .*; end it, or set FASTBOOK_CH4_DATA"
    with FileLock(cache / f"{name}.lock"), pytest.raises(OSError, match=said): mnist_sample(tgz)


# ---- disks

SENTENCE = r"^cannot prepare the digits in {}.* \({}\); set FASTBOOK_CH4_DATA to .*$"


def sentence(folder, code): return SENTENCE.format(re.escape(str(folder)), os.strerror(code))


def test_a_file_in_the_place_of_the_cache_folder(cache, tgz):
    cache.write_text("in the way")
    said = sentence(cache, errno.EEXIST) + "|" + sentence(cache, errno.ENOTDIR)
    with pytest.raises(OSError, match=said): mnist_sample(tgz)


def test_cache_read_only_simulated_for_permission_bits_do_not_bind_root(cache, tgz, monkeypatch):
    def refused(self, *_, **__): raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))
    monkeypatch.setattr(data.Path, "mkdir", refused)
    for ask in (lambda: mnist_sample(tgz), lambda: mnist_sample("standin"), mnist_sample):
        with pytest.raises(OSError, match=sentence(cache, errno.EROFS)): ask()


def test_disk_full_simulated_while_unpacking(cache, tgz, monkeypatch):
    def full(self, path, **_):
        (path / "half.png").write_bytes(b"x")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    with monkeypatch.context() as m:
        m.setattr(tarfile.TarFile, "extractall", full)
        with pytest.raises(OSError, match=sentence(cache, errno.ENOSPC)): mnist_sample(tgz)
    assert not leftovers(cache) and not list(cache.glob("archive-*/"))
    assert len(load_sample(tgz, verbose=False).train_x) == 40


def test_disk_full_simulated_while_keeping_pixels_is_no_error(cache, tmp_path, monkeypatch):
    images = draw(tmp_path / "a", 500)
    write = data.Path.write_bytes
    def full(file, content):
        write(file, b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(data.Path, "write_bytes", full)
    assert torch.equal(load_digits(tmp_path / "a"), images)
    assert not leftovers(cache) and not shelf(tmp_path / "a").exists()


@pytest.fixture
def mounted(tmp_path):
    "Mount a small disk of its own, where the system lets us."
    folder = tmp_path / "disk"
    folder.mkdir()
    def mount(*words): return subprocess.run(["mount", *words, str(folder)], capture_output=True).returncode == 0
    if sys.platform != "linux" or not shutil.which("mount") or not mount("-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        pytest.skip("mounting a tmpfs needs Linux and root; the simulated tests above run everywhere")
    yield folder, mount
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_disk_full_on_a_small_tmpfs(cache, tmp_path, monkeypatch, mounted):
    folder, _ = mounted
    archive = pack(layout(tmp_path / "d", 500), tmp_path / "d.tgz")
    monkeypatch.setenv("FASTBOOK_CH4_CACHE", str(folder))
    for ask in (archive, "standin"):
        with pytest.raises(OSError, match=sentence(folder, errno.ENOSPC)): mnist_sample(ask)
        assert not leftovers(folder) and not [o for o in folder.iterdir() if o.is_dir()]
    images = load_digits(tmp_path / "d" / "train" / "3")  # to be read without a kept copy, or with one: never an error
    assert len(images) == 500 and not leftovers(folder)


def test_cache_on_a_read_only_mount(cache, tmp_path, tgz, monkeypatch, mounted):
    folder, mount = mounted
    monkeypatch.setenv("FASTBOOK_CH4_CACHE", str(folder))
    root = mnist_sample(tgz, verbose=False)
    assert mount("-o", "remount,ro")
    assert mnist_sample(tgz, verbose=False) == root and len(load_sample(tgz, verbose=False).train_x) == 40
    with pytest.raises(OSError, match=sentence(folder, errno.EROFS)): mnist_sample("standin")
    images = draw(tmp_path / "a", 500)
    assert torch.equal(load_digits(tmp_path / "a"), images)


def test_data_on_a_read_only_mount(cache, tmp_path, mounted):
    folder, mount = mounted
    root = layout(folder / "d")
    assert mount("-o", "remount,ro")
    assert len(load_sample(root, verbose=False).train_x) == 40


# ---- images

def png(**k):
    buffer = io.BytesIO()
    Image.new(k.pop("mode", "L"), k.pop("size", (28, 28)), k.pop("color", 0)).save(buffer, "PNG", **k)
    return buffer.getvalue()


def noise():
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


NOT_WHOLE = r"5\.png is not a whole PNG file \(.*\); replace it, or delete it"
WRONG = r"5\.png is a {} image of mode {}; expected 28x28 pixels of mode L"


@pytest.mark.parametrize("content, said", [
    (b"", NOT_WHOLE), (b"a three, I promise", NOT_WHOLE), (png()[:8], NOT_WHOLE), (png()[:40], NOT_WHOLE),
    (noise()[:-500], NOT_WHOLE), (noise()[:-16], NOT_WHOLE), (noise()[:-12], NOT_WHOLE),
    (b"\xff\xd8\xff\xe0 a JPEG", NOT_WHOLE), (b"GIF89a", NOT_WHOLE), (bytes(100_000), NOT_WHOLE),
    (png(mode="I;16"), WRONG.format("28x28", "I;16")), (png(mode="RGB"), WRONG.format("28x28", "RGB")),
    (png(mode="P"), WRONG.format("28x28", "P")), (png(mode="LA"), WRONG.format("28x28", "LA")),
    (png(mode="1"), WRONG.format("28x28", "1")), (png(size=(27, 28)), WRONG.format("27x28", "L")),
    (png(size=(28, 27)), WRONG.format("28x27", "L")), (png(size=(280, 280)), WRONG.format("280x280", "L"))],
    ids=["empty", "text", "only the head", "cut at 40 bytes", "cut by 500", "cut in the pixels", "without its end",
         "JPEG", "GIF", "zeros", "16-bit", "RGB", "palette", "gray and alpha", "1-bit", "27x28", "28x27", "280x280"])
@pytest.mark.parametrize("kept", [True, False])
def test_a_bad_image_is_named(cache, tmp_path, content, said, kept):
    draw(tmp_path / "a", 10)
    (tmp_path / "a" / "5.png").write_bytes(content)
    with pytest.raises(ValueError, match=said): load_digits(tmp_path / "a", cache=kept)


def test_a_truncated_image_is_named_even_where_pillow_is_told_to_accept_it(tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    (tmp_path / "5.png").write_bytes(noise()[:-300])
    with pytest.raises(ValueError, match=NOT_WHOLE): load_digits(tmp_path)


def test_an_image_damaged_where_it_was_kept_shows(cache, tmp_path):
    draw(tmp_path / "a", 500)
    load_digits(tmp_path / "a")
    content = (tmp_path / "a" / "5.png").read_bytes()
    (tmp_path / "a" / "5.png").write_bytes(content[:100])
    with pytest.raises(ValueError, match=NOT_WHOLE): load_digits(tmp_path / "a")


def test_a_bad_image_in_the_prepared_copy_says_how_to_get_a_new_one(cache, tgz):
    root = mnist_sample(tgz, verbose=False)
    (root / "valid" / "3" / "0.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"0\.png is not a whole PNG .*delete the folder .*archive-\w+, and it is pre"):
        load_sample(tgz, verbose=False)
    shutil.rmtree(cache / root.relative_to(cache).parts[0])
    assert len(load_sample(tgz, verbose=False).valid_x) == 40


def test_a_folder_or_a_dead_link_called_png_is_named(tmp_path):
    draw(tmp_path / "a", 2)
    (tmp_path / "a" / "5.png").mkdir()
    with pytest.raises(ValueError, match=r"5\.png is not a whole PNG file"): load_digits(tmp_path / "a")
    (tmp_path / "a" / "5.png").rmdir()
    try: (tmp_path / "a" / "5.png").symlink_to(tmp_path / "nowhere")
    except OSError: pytest.skip("no links on this system")
    with pytest.raises(ValueError, match=r"5\.png is not a whole PNG file"): load_digits(tmp_path / "a")


DAMAGES = ["empty", "text", "cut", "cut by a row", "one bit", "one bit of the label", "zeros", "a pickle", "folder"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_kept_copy_is_ignored_and_written_again(cache, tmp_path, damage):
    images = draw(tmp_path / "a", 500)
    load_digits(tmp_path / "a")
    file = shelf(tmp_path / "a")
    good = file.read_bytes()
    def flipped(at): return good[:at] + bytes([good[at] ^ 4]) + good[at + 1:]
    class Evil:
        def __reduce__(self): return os.mkdir, (str(tmp_path / "ran"),)
    if damage == "a pickle":
        with open(file, "wb") as f: np.save(f, np.array([Evil()], dtype=object), allow_pickle=True)
    elif damage == "folder":
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes({"empty": b"", "text": b"hello", "cut": good[:-1000], "cut by a row": good[:-784],
                          "one bit": flipped(len(good) // 2), "one bit of the label": flipped(35),
                          "zeros": bytes(len(good))}[damage])
    assert torch.equal(load_digits(tmp_path / "a"), images) and not (tmp_path / "ran").exists()
    if damage != "folder": assert file.read_bytes() == good


# ---- folders and labels

@pytest.mark.parametrize("path, said", [
    ("/nowhere", r"nowhere does not exist \(given path\); expected a folder in MNIST_SAMPLE's layout, or a \.tgz"),
    ("/nowhere/else.tgz", "does not exist"), (os.devnull, r"is not a \.tgz archive")])
def test_a_path_that_is_not_there(cache, path, said):
    with pytest.raises((FileNotFoundError, ValueError), match=said): mnist_sample(path)


def test_the_environments_path_that_is_not_there(cache, monkeypatch):
    monkeypatch.setenv("FASTBOOK_CH4_DATA", "/nowhere")
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist \(FASTBOOK_CH4_DATA\)"): load_sample()


def test_an_empty_folder_a_missing_class_and_an_empty_class(cache, tmp_path):
    with pytest.raises(FileNotFoundError, match="is not in MNIST_SAMPLE's layout: the folder train/3 is missing"):
        mnist_sample(tmp_path)
    root = layout(tmp_path / "d")
    (root / "valid" / "7").rename(root / "valid" / "seven")
    with pytest.raises(FileNotFoundError, match="the folder valid/7 is missing"): mnist_sample(root)
    (root / "valid" / "7").mkdir()
    (root / "valid" / "7" / "._1.png").write_bytes(b"hidden")
    with pytest.raises(ValueError, match=r"7 holds no \.png file; expected 28x28 grayscale images of a 7"):
        mnist_sample(root)
    with pytest.raises(ValueError, match=r"7 holds no \.png file"): load_digits(root / "valid" / "7")
    with pytest.raises(FileNotFoundError, match="is not a folder"): load_digits(root / "valid" / "9")
    with pytest.raises(FileNotFoundError, match="is not a folder"): load_digits(root / "train" / "3" / "0.png")
    with pytest.raises(FileNotFoundError, match="is not a folder"): is_standin(tmp_path / "nowhere")


@pytest.mark.parametrize("digits, said", [
    (("3", "8"), r"has no digit '8' in train; it has \['3', '7'\]"), (("3",), "two or more"),
    (("3", "3"), "two or more different"), ((), "two or more"), ((3, "3"), "two or more different")])
def test_unknown_digits(cache, tmp_path, digits, said):
    with pytest.raises(ValueError, match=said): load_sample(layout(tmp_path / "d"), digits, verbose=False)


def test_a_digit_that_only_one_half_has(cache, tmp_path):
    root = layout(tmp_path / "d")
    draw(root / "train" / "8", 20)
    with pytest.raises(ValueError, match="has no digit '8' in valid"): load_sample(root, ("3", "8"), verbose=False)


def test_swapped_folders_are_seen_by_their_mean_image(cache, tmp_path):
    root = layout(tmp_path / "d")
    load_sample(root, verbose=False)
    for a, b in (("3", "x"), ("7", "3"), ("x", "7")): (root / "valid" / a).rename(root / "valid" / b)
    said = "the mean image of valid/3 is much nearer to train/7 than to train/3: labels are mixed up"
    with pytest.raises(ValueError, match=said):
        load_sample(root, verbose=False)


def test_one_class_twice_is_seen_by_its_mean_image(cache, tmp_path):
    root = layout(tmp_path / "d")
    shutil.rmtree(root / "valid" / "7")
    shutil.copytree(root / "valid" / "3", root / "valid" / "7")
    with pytest.raises(ValueError, match="valid/7 is much nearer to train/3"): load_sample(root, verbose=False)


def test_images_without_a_pattern_are_no_false_alarm(cache, tmp_path):
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        train, valid = torch.rand(2, 2, 30, 784, generator=generator)
        data._check_means(tmp_path, ["3", "7"], train, valid)


def table(root, change=lambda rows: rows):
    rows = [(o.relative_to(root).as_posix(), "0" if o.parent.name == "3" else "1") for o in sorted(root.rglob("*.png"))]
    (root / "labels.csv").write_text("name,label\n" + "".join(f"{a},{b}\n" for a, b in change(rows)))


def spread_names(root):
    "Give every file of a half a name of its own, as in MNIST."
    for split in ("train", "valid"):
        for o in list((root / split / "7").iterdir()): o.rename(o.with_name(f"7{o.name}"))
    return root


@pytest.mark.parametrize("packed", [False, True])
def test_labels_csv_that_agrees_is_no_error(cache, tmp_path, packed):
    root = spread_names(layout(tmp_path / "d"))
    table(root)
    (root / "train" / "3" / "1.png").unlink()  # fewer images than the table names: the reader's right
    draw(root / "train" / "3" / "more", 1)[0]
    (root / "train" / "3" / "more" / "0.png").rename(root / "train" / "3" / "own.png")  # and one of the reader's own
    (root / "train" / "3" / "more").rmdir()
    assert len(load_sample(pack(root, tmp_path / "d.tgz") if packed else root, verbose=False).train_x) == 40


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("fault, said", [
    ("one label", r"gives train/3/1\.png the label 0, and other images of a 3 the label 1"),
    ("halves disagree", r"gives valid/3/.* the label 1, and other images of a 3 the label 0"),
    ("one for both", r"gives two digits one label"), ("moved", r"0\.png is an image of a 3 by .*labels\.csv: labels")])
def test_labels_csv_that_contradicts_the_folders(cache, tmp_path, fault, said, packed):
    root = spread_names(layout(tmp_path / "d"))
    changes = {"one label": lambda rows: [(a, "1" if a == "train/3/0.png" else b) for a, b in rows],
               "halves disagree": lambda rows: [(a, str(1 - int(b)) if a.startswith("valid") else b) for a, b in rows],
               "one for both": lambda rows: [(a, "5") for a, _ in rows], "moved": lambda rows: rows}
    table(root, changes[fault])
    if fault == "moved": (root / "train" / "3" / "0.png").rename(root / "train" / "7" / "0.png")
    asked = pack(root, tmp_path / "d.tgz") if packed else root
    with pytest.raises(ValueError, match=said) as e: load_sample(asked, verbose=False)
    assert str(asked) in str(e.value) and not leftovers(cache)


def test_another_table_of_that_name_is_not_our_business(cache, tmp_path):
    root = layout(tmp_path / "d")
    (root / "labels.csv").write_bytes("Größe;Gewicht\n1;2\n".encode("latin-1"))
    assert len(load_sample(root, verbose=False).train_x) == 40


# ---- other systems

def test_importing_the_module_starts_nothing_and_needs_nothing_posix():
    "No process, thread, lock, folder or network at import; and what only POSIX has is not named."
    source = (data.Path(data.__file__)).read_text(encoding="utf-8")
    for word in ("fcntl", "os.fork", "os.getuid", "os.geteuid", "signal.SIG", "os.sync", "/tmp", "dir_fd", "os.kill"):
        assert word not in source, word
    program = ("import threading, sys, os; before = threading.active_count(); import fastbook_ch4.data as d; "
               "assert threading.active_count() == before; "
               "assert 'matplotlib' not in sys.modules and 'fastai' not in sys.modules; "
               "assert 'sklearn' not in sys.modules and not d.cache_dir().exists()")
    environment = os.environ | {"FASTBOOK_CH4_CACHE": str(data.Path(os.devnull).parent / "no" / "such" / "folder")}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def test_age_helper_makes_files_old(tmp_path):
    draw(tmp_path / "a", 1, old=False)
    age(tmp_path / "a")
    assert (tmp_path / "a" / "0.png").stat().st_mtime == 1e9
