"The promises of the data page: what is read, what is downloaded, and what can go wrong. No test asks a host outside."
import ast
import errno
import io
import multiprocessing
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fastai.data
import numpy as np
import pytest
import torch
from fastdownload import update_checks
from filelock import FileLock
from PIL import Image

from fastbook_ch4 import data
from fastbook_ch4.data import is_mnist, is_standin, load_sample, mnist_sample, read_images
from pages import PAGES, code_cells, exports, read

ARCHIVE = Path(os.environ.get("FASTBOOK_CH4_DATA", "not set"))
needs_archive = pytest.mark.skipif(not ARCHIVE.is_file(), reason="FASTBOOK_CH4_DATA does not name MNIST_SAMPLE's .tgz")
needs_fork = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs os.fork")
STANDIN = "digits: STAND-IN: real digits but few, so figures differ from the text "

@pytest.fixture
def cache(tmp_path, monkeypatch):
    "An empty cache, an empty folder for fastai, and nothing that names other digits."
    monkeypatch.setenv("FASTBOOK_CH4_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FASTAI_HOME", str(tmp_path / "fastai"))
    monkeypatch.delenv("FASTBOOK_CH4_DATA", raising=False)
    return tmp_path / "cache"

def draw(folder, n, seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    for i, im in enumerate(np.random.default_rng(seed).integers(0, 256, (n, 28, 28), np.uint8)):
        Image.fromarray(im).save(folder / f"{i}.png", compress_level=0)

def layout(folder, n=12):
    for i, name in enumerate(("train/3", "train/7", "valid/3", "valid/7")): draw(folder / name, n, i)
    return folder

def pack(folder, archive):
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar: tar.add(folder, "mnist_sample")
    return archive

def equal(a, b): return all(torch.equal(x, y) for x, y in zip(a, b))

def leftovers(folder): return [o for o in folder.glob("*") if o.suffix != ".lock"]

# The budget

def test_the_data_layer_is_small():
    source = Path(data.__file__).read_text(encoding="utf-8")
    skip = set()
    for node in ast.walk(ast.parse(source)):
        a_docstring = isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", 0), str)
        if a_docstring or getattr(node, "name", "") in ("show_digits", "same_shape"):
            skip |= {*range(node.lineno, node.end_lineno + 1)}
    code = [o for i, o in enumerate(source.splitlines(), 1) if i not in skip and o.strip() and o.strip()[0] != "#"]
    assert 100 < len(code) <= 160
    cells = [c.source for c in code_cells(read(PAGES[0])) if exports(c)]
    assert sum(bool(o.strip()) for c in cells for o in c.splitlines()) <= 235

# Files become tensors

def test_read_images_is_pillow_one_by_one(tmp_path):
    draw(tmp_path, 25)
    (tmp_path / "2.png").rename(tmp_path / "2.PNG")
    for other in ("._0.png", "notes.txt", "Thumbs.db"): (tmp_path / other).write_bytes(b"no image")
    one_by_one = [torch.tensor(np.array(Image.open(o))) for o in sorted(tmp_path.iterdir()) if o.stem.isdigit()]
    images = read_images(str(tmp_path))
    assert torch.equal(images, torch.stack(one_by_one)) and images.dtype == torch.uint8 and len(images) == 25

def png(mode="L", size=(28, 28), upto=None):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], 4), np.uint8)
    (Image.fromarray(noise).convert(mode) if mode != "I;16" else Image.new(mode, size)).save(buffer, "PNG")
    return buffer.getvalue()[:upto]

@pytest.mark.parametrize("content, said", [
    (b"", "not a whole PNG"), (b"a three, I promise", "not a whole PNG"), (png(upto=20), "not a whole PNG"),
    (png(upto=400), "not a whole PNG"), (png("RGB"), "of mode RGB"), (png("I;16"), "of mode I;16"), (png("P"), "of mode P"),
    (png(size=(27, 28)), r"size \(27, 28\)"), (png(size=(28, 27)), r"size \(28, 27\)")],
    ids=["empty", "text", "cut in its head", "cut", "RGB", "16-bit", "palette", "27x28", "28x27"])
def test_a_wrong_image_is_named(tmp_path, content, said):
    draw(tmp_path, 8)
    (tmp_path / "5.png").write_bytes(content)
    with pytest.raises(ValueError, match=rf"5\.png is .*{said}"): read_images(tmp_path)

def test_empty_and_missing_folders_are_named(cache, tmp_path):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ValueError, match=r"nothing holds no \.png"): read_images(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="nowhere"): read_images(tmp_path / "nowhere")
    for wrong in (tmp_path / "nothing", tmp_path / "nowhere", "/nowhere/else.tgz"):
        with pytest.raises(FileNotFoundError, match=f"^{wrong} is missing or has no folders train and valid"):
            mnist_sample(wrong)
    shutil.rmtree(layout(tmp_path / "d") / "valid" / "7")
    with pytest.raises(FileNotFoundError, match=r"valid.7"): load_sample(tmp_path / "d")

def test_load_sample_is_the_books_arithmetic(cache, tmp_path, monkeypatch, capsys):
    root = layout(tmp_path / "d")
    sample = load_sample(root)
    threes, sevens = (read_images(root / "train" / d).float() / 255 for d in "37")
    assert torch.equal(sample.train_x, torch.cat([threes, sevens]).view(-1, 784))
    assert torch.equal(sample.train_y, torch.tensor([1.] * 12 + [0.] * 12)[:, None])
    assert all(o.dtype == torch.float32 and o.is_contiguous() for o in sample) and not is_mnist(sample)
    assert torch.equal(load_sample(root, (7, 3)).train_x, sample.train_x.roll(12, 0))
    monkeypatch.setenv("FASTBOOK_CH4_DATA", str(pack(root, tmp_path / "d.tgz")))
    assert equal(load_sample(), sample)
    assert mnist_sample(root) == root  # a path wins over the environment
    assert capsys.readouterr().out.splitlines() == [f"digits: {o}, as named" for o in ("d", "d", "d.tgz", "d")]

def test_mnist_is_recognised_and_one_pixel_tells(mnist):
    assert [len(o) for o in mnist] == [12396, 12396, 2038, 2038] and mnist.train_y.sum() == 6131
    changed = mnist.valid_x.clone()
    changed[1000, 300] = 1 - changed[1000, 300]
    assert is_mnist(mnist) and not is_mnist(mnist._replace(valid_x=changed))

def test_pictures_and_the_guard():
    import matplotlib.pyplot as plt
    for shape, axes in (((3, 784), 3), ((28, 28), 1), ((12, 28, 28), 20), ((2, 5, 5), 2)):
        data.show_digits(torch.rand(shape), titles=range(12), title="some")
        assert len(plt.gcf().axes) == axes
        plt.close()
    for images, signed, top in ((torch.rand(784) - 3, True, 3), (torch.ones(784, dtype=torch.uint8), False, 255)):
        data.show_digits(images, signed=signed)
        assert plt.gca().images[0].get_clim() == pytest.approx((-top if signed else 0, top), abs=.05)
        plt.close()
    data.same_shape(torch.ones(2, 1), torch.zeros(2, 1))
    with pytest.raises(ValueError, match=r"\[2\] and \[2, 1\]"): data.same_shape(torch.ones(2), torch.ones(2, 1))

# The stand-in

@pytest.fixture(scope="session")
def standin(tmp_path_factory):
    with pytest.MonkeyPatch.context() as m:
        m.setenv("FASTBOOK_CH4_CACHE", str(tmp_path_factory.mktemp("standin")))
        return mnist_sample("standin")

def test_the_standin_is_real_digits_and_learns(standin, capsys):
    sample = load_sample(standin)
    assert capsys.readouterr().out.splitlines()[-1] == f"{STANDIN}(asked for)" and is_standin(standin)
    assert [len(o) for o in sample] == [6300, 6300, 300, 300] and not is_mnist(sample)
    assert sample.train_y.sum() == 3150 and sample.valid_y.sum() == 150
    known = {o.numpy().tobytes() for o in sample.train_x}
    assert not any(o.numpy().tobytes() in known for o in sample.valid_x)
    ink = (sample.train_x * 255).round().long().sum(1).sort()[0]
    assert torch.equal(ink[::9], ink[8::9])  # each in nine places
    mean3, mean7 = (sample.train_x[sample.train_y[:, 0] == o].mean(0) for o in (1, 0))
    is_3 = (sample.valid_x - mean3).abs().mean(1) < (sample.valid_x - mean7).abs().mean(1)
    assert (is_3 == sample.valid_y[:, 0].bool()).float().mean() > .9

def test_the_standins_images_are_mnists(mnist, standin):
    pixels = {o.numpy().tobytes() for o in mnist.train_x}
    assert all(o.numpy().tobytes() in pixels for o in load_sample(standin).valid_x)

# The download

class Answer(BaseHTTPRequestHandler):
    def log_message(self, *_): pass

    def do_HEAD(self):
        if self.server.fault == "silent": self.server.end.wait()
        if self.server.fault == "missing": return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()

    def do_GET(self):
        self.server.asked += 1
        self.do_HEAD()
        half = self.server.fault in ("cut", "stalled")
        self.wfile.write(self.server.content[:len(self.server.content) // (2 if half else 1)])
        if self.server.fault == "stalled": self.server.end.wait()

@pytest.fixture
def serve(cache, tmp_path, monkeypatch):
    "Serve `content`, with a fault, in fastai's place. fastai's table gets what fastdownload computes for `archive`."
    servers = []

    def start(content, fault="", archive=ARCHIVE):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        server.content, server.fault, server.asked, server.end = content, fault, 0, threading.Event()
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": .02}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/mnist_sample.tgz"
        copy = shutil.copytree(Path(fastai.data.__file__).parent, tmp_path / "module")
        update_checks(archive, url, copy / "download_checks.py")
        monkeypatch.setattr(fastai.data, "__file__", str(copy / "__init__.py"))
        monkeypatch.setattr(data, "_URL", url)
        return server
    yield start
    for server in servers:
        server.end.set(), server.shutdown(), server.server_close()

@needs_archive
def test_the_download_takes_the_real_path_once_and_replaces_a_half_copy(serve, tmp_path, capsys):
    from fastai.data import external
    place = tmp_path / "fastai" / "data" / "mnist_sample"
    draw(place / "train" / "3", 5)  # what an interrupted `untar_data` leaves, and calls whole for ever
    server = serve(ARCHIVE.read_bytes())
    assert mnist_sample() == place and capsys.readouterr().out.splitlines()[-1] == "digits: MNIST_SAMPLE, fastai's copy"
    sample = load_sample()
    assert is_mnist(sample) and server.asked == 1
    assert [o.name for o in leftovers(place.parent)] == ["mnist_sample"] and not (tmp_path / "cache").exists()
    external.fastai_cfg.cache_clear()
    assert external.untar_data(external.URLs.MNIST_SAMPLE) == place  # every fastai course finds it
    external.fastai_cfg.cache_clear()

@needs_archive
@pytest.mark.parametrize("fault, said", [
    ("silent", "no answer within 4 seconds|timed out"), ("stalled", "broke off: timed out"), ("cut", "broke off"),
    ("missing", "Not Found"), ("first megabyte", "gave something else than fastai published"),
    ("second megabyte", r"mnist_sample\.tgz is (no whole|missing|not)"), ("other images", "is not MNIST_SAMPLE; delete it"),
    ("refused", "refused"), ("black hole", "no answer within"), ("name", "no answer within"), ("proxy", "Not Found")])
def test_no_whole_download_gives_the_standin_and_says_why(serve, cache, standin, monkeypatch, capsys, fault, said):
    content, archive = bytearray(ARCHIVE.read_bytes()), ARCHIVE
    if fault == "first megabyte": content[1000] ^= 1
    if fault == "second megabyte": content[1_100_000:1_101_000] = bytes(1000)  # of which fastai keeps no hash
    if fault == "other images": content = (archive := pack(layout(cache.parent / "d"), cache.parent / "d.tgz")).read_bytes()
    server = serve(bytes(content), fault, archive)
    if fault == "refused": server.shutdown(), server.server_close()
    if fault == "black hole":  # nobody accepts, and the queue is full
        hole = socket.create_server(("127.0.0.1", 0), backlog=0)
        full = [socket.socket() for _ in range(4)]
        for o in full: o.setblocking(False), o.connect_ex(hole.getsockname())
        monkeypatch.setattr(data, "_URL", f"http://127.0.0.1:{hole.getsockname()[1]}/mnist_sample.tgz")
    if fault == "name": monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: server.end.wait(20) and [])
    if fault in ("black hole", "name"): monkeypatch.setattr(data._answers, "__defaults__", (.5,))
    if fault == "proxy":  # it says "missing", and nobody else knows the name
        server.fault = "missing"
        monkeypatch.setenv("http_proxy", data._URL)
        monkeypatch.setattr(data, "_URL", "http://nobody.invalid/mnist_sample.tgz")
        monkeypatch.setattr(urllib.request, "_opener", None)
    cache.mkdir()
    (cache / "standin-3").symlink_to(standin)
    start = time.monotonic()
    assert is_standin(mnist_sample()) and time.monotonic() - start < 10
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith(f"{STANDIN}(no download: ") and re.search(said, line)
    assert not leftovers(cache.parent / "fastai" / "data")

# Archives

@pytest.mark.parametrize("name, kind, link", [
    ("../evil", tarfile.REGTYPE, ""), ("mnist_sample/../../evil", tarfile.REGTYPE, ""), ("/evil", tarfile.REGTYPE, ""),
    ("mnist_sample/evil", tarfile.SYMTYPE, "/etc/passwd"), ("mnist_sample/evil", tarfile.SYMTYPE, "good"),
    ("mnist_sample/evil", tarfile.LNKTYPE, "mnist_sample/good"), ("mnist_sample/evil", tarfile.LNKTYPE, "../../x"),
    ("mnist_sample/evil", tarfile.FIFOTYPE, "")])
def test_what_lands_outside_or_is_a_link_is_refused(cache, tmp_path, name, kind, link):
    with tarfile.open(tmp_path / "evil.tgz", "w:gz") as tar:
        for o, k in (("mnist_sample/good", tarfile.REGTYPE), (name, kind)):
            info = tarfile.TarInfo(o)
            info.type, info.linkname, info.size = k, link, int(k == tarfile.REGTYPE)
            tar.addfile(info, io.BytesIO(b"x"))
    with pytest.raises(ValueError, match=r"evil\.tgz is no whole and safe \.tgz archive \(.*evil"):
        mnist_sample(tmp_path / "evil.tgz")
    assert not leftovers(cache) and len(list(tmp_path.iterdir())) == 2 and not Path("/evil").exists()

@pytest.mark.parametrize("cut", [0, 10, .5, .98, "text", "other"])
def test_a_cut_archive_is_named_and_leaves_nothing(cache, tmp_path, cut):
    content = pack(layout(tmp_path / "d"), tmp_path / "d.tgz").read_bytes()
    broken = content[:int(cut if cut > 1 else cut * len(content))] if isinstance(cut, float | int) else b"no archive"
    (tmp_path / "cut.tgz").write_bytes(broken)
    if cut == "other": pack(tmp_path / "d" / "train", tmp_path / "cut.tgz")
    with pytest.raises((ValueError, FileNotFoundError), match=r"cut\.tgz is (no whole|missing or has no folders)"):
        mnist_sample(tmp_path / "cut.tgz")
    assert not leftovers(cache)

# Many processes, killed processes, a lock that is held

def prepare(archive, connection):
    "In a process of its own: say when preparing begins, and what came. (No sums here: torch's threads stop at a fork.)"
    unpack = data._unpack
    data._unpack = lambda *args: (connection.send("prepares"), unpack(*args))
    root = mnist_sample(archive)
    connection.send([hash(o.read_bytes()) for o in sorted(root.rglob("*.png"))])

def processes(archive, n):
    context = multiprocessing.get_context("fork")
    for _ in range(n):
        here, there = context.Pipe()
        process = context.Process(target=prepare, args=(archive, there), daemon=True)
        process.start()
        there.close()
        yield process, here

@needs_fork
def test_eight_processes_at_once_prepare_once_and_get_the_same(cache, tmp_path):
    archive = pack(layout(tmp_path / "d", 100), tmp_path / "d.tgz")
    said = []
    for _, pipe in list(processes(archive, 8)):
        said.append(pipe.recv())
        if said[-1] == "prepares": said.append(pipe.recv())
    said.remove("prepares")  # one did, and only one
    assert len(said[0]) == 400 and said == said[:1] * 8 and len(leftovers(cache)) == 1

@needs_fork
@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_while_preparing(cache, tmp_path, kills):
    archive = pack(layout(tmp_path / "d", 100), tmp_path / "d.tgz")
    expected, rng, hits = load_sample(tmp_path / "d"), random.Random(4), 0
    (process, pipe), = processes(archive, 1)
    assert pipe.recv() == "prepares"
    start = time.monotonic()
    takes = (pipe.recv(), time.monotonic() - start)[1]
    for _ in range(10 * kills):
        shutil.rmtree(cache)
        (process, pipe), = processes(archive, 1)
        assert pipe.recv() == "prepares"
        time.sleep(rng.uniform(0, takes))
        os.kill(process.pid, signal.SIGKILL), process.join()
        hits += any(o.name.startswith(".") for o in leftovers(cache))  # it came in the middle
        assert equal(load_sample(archive), expected)
        assert sum(any(o.rglob("*.png")) for o in leftovers(cache)) == 1
        if hits == kills: return
    raise AssertionError("too few kills came in the middle")

def test_a_lock_that_is_held_for_too_long_is_named(tmp_path):
    with FileLock(tmp_path / "x.lock"), pytest.raises(OSError, match=r"another process has held .*x\.lock for 0\.1 sec"):
        data._prepare(tmp_path / "x", Path.mkdir, patience=.1)

# Disks

def sentence(folder, error):
    return rf"^cannot prepare the digits in {folder} \({os.strerror(error)}\); FASTBOOK_CH4_CACHE and FASTAI_HOME"

@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_refuses_is_said_in_one_sentence(cache, tmp_path, monkeypatch, error):
    archive = pack(layout(tmp_path / "d"), tmp_path / "d.tgz")
    def refuse(path, *_, **__): raise OSError(error, os.strerror(error), str(path))
    monkeypatch.setattr(os, "mkdir", refuse)
    for asked in (archive, "standin", None):
        with pytest.raises(OSError, match=sentence(cache, error)): mnist_sample(asked)

@pytest.fixture
def disk(tmp_path):
    "A small disk of its own, where the system lets us mount one."
    (folder := tmp_path / "disk").mkdir()
    def mount(*words): return subprocess.run(["mount", *words, folder], capture_output=True).returncode == 0
    if sys.platform != "linux" or not shutil.which("mount") or not mount("-t", "tmpfs", "-o", "size=300k", "tmpfs"):
        pytest.skip("mounting a disk needs Linux and root; the simulated test above runs everywhere")
    yield folder, mount
    subprocess.run(["umount", "-l", folder], check=True)

def test_a_full_and_a_read_only_disk(cache, tmp_path, monkeypatch, disk):
    folder, mount = disk
    small, large = (pack(layout(tmp_path / str(n), n), tmp_path / f"{n}.tgz") for n in (2, 100))
    monkeypatch.setenv("FASTBOOK_CH4_CACHE", str(folder))
    for asked in (large, "standin"):
        with pytest.raises(OSError, match=sentence(folder, errno.ENOSPC)): mnist_sample(asked)
        assert not leftovers(folder)
    root = mnist_sample(small)
    assert mount("-o", "remount,ro") and mnist_sample(small) == root and len(load_sample(small).train_x) == 4
    with pytest.raises(OSError, match=sentence(folder, errno.EROFS)): mnist_sample("standin")
