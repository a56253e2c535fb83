"""Nothing is written outside the folder that is named, and nothing is read through what never ends."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Ran, Write
from PIL import Image

from hiergen.data.sources import open_data
from hiergen.errors import HiergenError
from hiergen.taxonomy.imagefolder import find_images, look_through
from tests.nn.steering_cases import Nested
from tests.security.hostile import ESCAPES, LEGAL, taxonomy, unsafe

Run = Callable[..., Ran]
PNG = io.BytesIO()
Image.new("RGB", (9, 9)).save(PNG, "PNG")
OUT = ["../x", "/tmp/x", "a/b", "..", ".", "a\\b", "a\0b", "~/x", "con:", "$HOME"]


@pytest.fixture
def network() -> Nested:
    """Classes c0 to c4."""
    return Nested().eval()


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with something around it that must stay as it is."""
    work = tmp_path / "outer" / "work"
    work.mkdir(parents=True)
    (tmp_path / "outer" / "secret.txt").write_text("secret")
    monkeypatch.chdir(work)
    return work


def outside(work: Path) -> list[Path]:
    return sorted(path for path in work.parents[1].rglob("*") if work not in path.parents and path != work)


def folder_of(root: Path, classes: tuple[str, ...] = ("c0", "c1", "c2", "c3", "c4")) -> Path:
    for name in classes:
        (root / name).mkdir(parents=True)
        (root / name / "0.png").write_bytes(PNG.getvalue())
    return root


# names that would be paths


@pytest.mark.parametrize("name", OUT, ids=ascii)
@pytest.mark.parametrize("where", ["name", "model"])
def test_names_that_become_files_are_identifiers(
    name: str, where: str, inside: Path, write: Write, hiergen: Run
) -> None:
    before = outside(inside)
    more = {"name": name} if where == "name" else {"models": {name: {"levels": 1}}}
    (inside / "t.yaml").write_text(taxonomy("x", **more), "utf-8")
    ran = hiergen("build", "t.yaml")
    assert ran.code == 2
    assert "expected a letter, then letters, digits" in ran.err or "is not valid YAML" in ran.err
    assert outside(inside) == before
    assert [path.name for path in inside.iterdir()] == ["t.yaml"]


@pytest.mark.parametrize("name", ["../../x", "..", "C:\\x", *LEGAL[:1]], ids=ascii)
def test_class_and_group_names_are_never_paths(name: str, inside: Path, hiergen: Run) -> None:
    """Where a file is called by a class, its name has letters, digits, '-', '_' and '.' only."""
    (inside / "t.yaml").write_text(taxonomy(f"{name} a"), "utf-8")
    before = outside(inside)
    for words in (
        ["build", "t.yaml"],
        ["explore", "t.yaml"],
        ["draw", "t.yaml", "--class", f"{name} a"],
        ["draw", "t.yaml", "--architecture"],
        ["export", "t.yaml", "--format", "newick"],
        ["suggest", "t.yaml", "--by", "random"],
        ["import", "t.nwk", "-o", "i.yaml"],
    ):
        if words[0] == "import":
            (inside / "t.nwk").write_text("(('../../a',b)'../x',(c,'/d e'));")
        assert hiergen(*words).code == 0
    assert outside(inside) == before
    for path in inside.rglob("*"):
        assert path.name.replace("-", "").replace("_", "").replace(".", "").isalnum(), path


def test_an_output_that_is_a_link_is_replaced_and_not_followed(inside: Path, hiergen: Run) -> None:
    secret = inside.parent / "secret.txt"
    (inside / "t.yaml").write_text(taxonomy("x"), "utf-8")
    for name, words in {
        "p.html": ["explore", "t.yaml", "-o", "p.html"],
        "d.svg": ["draw", "t.yaml", "-o", "d.svg"],
        "s.json": ["schema", "-o", "s.json"],
        "e.nwk": ["export", "t.yaml", "-o", "e.nwk"],
    }.items():
        os.symlink(secret, inside / name)
        assert hiergen(*words).code == 0
        assert not (inside / name).is_symlink()
    os.symlink(secret, inside / "g.py")  # no file that hiergen wrote
    assert hiergen("build", "t.yaml", "-o", "g.py").code == 2
    assert secret.read_text() == "secret"


def test_temporary_files_cannot_be_foretold(inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are made anew (O_EXCL), readable by their owner only, beside the target."""
    from hiergen.files import replacing

    seen = []
    for _ in range(3):
        with replacing(inside / "a.txt") as temporary:
            assert temporary.parent == inside
            assert temporary.stat().st_mode & 0o077 == 0
            seen.append(temporary.name)
    assert len(set(seen)) == 3
    assert [path.name for path in inside.iterdir()] == ["a.txt"]


def test_what_a_taxonomy_file_reads_is_text_or_names_of_folders(inside: Path, hiergen: Run) -> None:
    """It may name any path that its user may read: but other files are refused, and no message repeats one whole."""
    (inside / "key.pem").write_bytes(b"-----BEGIN\n" + b"TOPSECRET" * 40 + b"\xff\n")
    os.mkfifo(inside / "pipe")
    for value, said in {
        "./key.pem": "is not UTF-8 text",
        "./pipe": "is not a regular file",
        "/dev/zero": "is not a regular file",
        "..": "is a directory",
    }.items():
        (inside / "t.yaml").write_text(taxonomy("x", classes=value, names={}), "utf-8")
        ran = hiergen("validate", "t.yaml")
        assert ran.code == 2
        assert said in ran.out
        assert "TOPSECRET" not in ran.out + ran.err
    for source in ({"superclass-files": "pipe"}, {"wordnet": "/dev/null"}, {"wordnet": "key.pem"}):
        (inside / "t.yaml").write_text(taxonomy("x", sources=[source]), "utf-8")
        assert hiergen("validate", "t.yaml").code == 2


def test_sources_that_would_never_end(inside: Path, hiergen: Run) -> None:
    """Pipes, devices and files of any size where a WordNet or superclasses are looked for."""
    os.mkfifo(inside / "pipe")
    for name, link in (("zero", "/dev/zero"), ("piped", "../pipe")):
        (inside / name).mkdir()
        os.symlink(link, inside / name / "superclass.txt")
    (inside / "large").mkdir()
    with (inside / "large" / "superclass.txt").open("wb") as file:
        file.truncate(1 << 40)
    for source, said in (
        ({"wordnet": "pipe"}, "is not a regular file"),
        ({"wordnet": "/dev/zero"}, "is not a regular file"),
        ({"superclass-files": "piped"}, "cannot read (not a regular file)"),
        ({"superclass-files": "zero"}, "cannot read (not a regular file)"),
        ({"superclass-files": "large"}, "cannot read (more than 8,000,000 bytes)"),
    ):
        (inside / "t.yaml").write_text(taxonomy("x", sources=[source]), "utf-8")
        ran = hiergen("validate", "t.yaml")
        assert (ran.code, ran.err) == (2, "")
        assert said in ran.out


# images


def test_links_in_image_folders(tmp_path: Path, network: Nested) -> None:
    root = folder_of(tmp_path / "images")
    plain = [str(place) for place, _ in find_images(root)]
    os.symlink(root / "c0" / "0.png", root / "c1" / "link.png")  # to a file: read, as data sets made of links are
    assert len(find_images(root)) == len(plain) + 1
    (root / "c1" / "link.png").unlink()
    elsewhere = folder_of(tmp_path / "elsewhere", ("x",))
    os.rename(root / "c2", tmp_path / "c2")
    os.symlink(tmp_path / "c2", root / "c2")  # to a folder: likewise
    assert [str(place) for place, _ in find_images(root)] == plain
    os.symlink(root, root / "c0" / "loop")
    with pytest.raises(HiergenError, match=r"c0/loop: is the same folder as .*images; remove the link"):
        open_data(root, network)
    (root / "c0" / "loop").unlink()
    os.symlink(elsewhere / "gone.png", root / "c0" / "gone.png")
    images = open_data(root, network)
    with pytest.raises(HiergenError, match=r"gone.png: cannot be read as an image \(.*No such file"):
        images.picture([images.place(i)[-8:] for i in range(len(images))].index("gone.png"))


def test_links_that_double_at_every_level_end(tmp_path: Path) -> None:
    """Forty folders with two links each to the next are 2^40 ways to one image."""
    root = tmp_path / "images"
    for i in range(40):
        (root / f"d{i}").mkdir(parents=True)
    for i in range(39):
        for name in "ab":
            os.symlink(root / f"d{i + 1}", root / f"d{i}" / name)
    (root / "d39" / "0.png").write_bytes(PNG.getvalue())
    with pytest.raises(HiergenError, match="is the same folder as"):
        find_images(root)


def test_a_pipe_or_a_device_in_an_image_folder(tmp_path: Path, network: Nested, hiergen: Run) -> None:
    root = folder_of(tmp_path / "images")
    os.mkfifo(root / "c0" / "1.png")
    os.symlink("/dev/zero", root / "c1" / "1.png")
    images = open_data(root, network)
    for i in range(len(images)):
        if images.place(i).endswith("1.png"):
            with pytest.raises(HiergenError, match=r"1.png: cannot be read as an image \(is not a regular file\)"):
                images[i]


@pytest.mark.parametrize("name", ["²", "1²2", "٣", "a\x1b[2J", "\u202ec0", "9" * 200], ids=ascii)
def test_folder_names_of_all_kinds(name: str, tmp_path: Path, network: Nested) -> None:
    """timm's order of names fails for "²", which is a digit and no number."""
    root = folder_of(tmp_path / "images")
    folder_of(tmp_path / "images", (name,))
    assert name in [label for _, label in find_images(root)]
    with pytest.raises(HiergenError, match="is no class of the network") as caught:
        open_data(root, network)
    assert unsafe(str(caught.value)) == set()
    assert open_data(root, network, classes="present").left_out == (name,)


# archives


def member(
    name: str, *, kind: bytes = tarfile.REGTYPE, link: str = "", **more: object
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    data = PNG.getvalue() if kind == tarfile.REGTYPE else b""
    info.size = len(data)
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def tar_of(file: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("c0", "c1", "c2", "c3", "c4"):
            info, data = member(f"{name}/0.png")
            tar.addfile(info, io.BytesIO(data))
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return file


def test_a_tar_is_never_unpacked_and_links_in_it_are_nothing(inside: Path, network: Nested) -> None:
    before = outside(inside)
    file = tar_of(
        inside / "a.tar",
        member("../../c0/evil.png"),
        member("/c1/absolute.png"),
        member("c2/link.png", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        member("c2/hard.png", kind=tarfile.LNKTYPE, link="../../secret.txt"),
        member("c3/device.png", kind=tarfile.CHRTYPE),
        member("c3/pipe.png", kind=tarfile.FIFOTYPE),
        member("c4/twice.png"),
        member("c4/twice.png"),
    )
    found = look_through(file)
    plain = [f"c{i}/0.png" for i in range(5)]
    names = sorted([*plain, "../../c0/evil.png", "/c1/absolute.png", "c4/twice.png"])
    assert sorted(str(place.inside) for place, _ in found.images) == names
    assert all(Image.open(io.BytesIO(place.read())).size == (9, 9) for place, _ in found.images)
    assert found.unread.kinds == {"link or device": 4}
    with pytest.raises(HiergenError, match="images of class 'c0' lie in several folders"):
        open_data(file, network)
    assert outside(inside) == before
    assert [path.name for path in inside.iterdir()] == ["a.tar"]


def test_of_two_members_of_one_name_the_later_counts(tmp_path: Path, network: Nested) -> None:
    last = io.BytesIO()
    Image.new("RGB", (7, 5)).save(last, "PNG")
    info = tarfile.TarInfo("c0/0.png")
    info.size = len(last.getvalue())
    images = open_data(tar_of(tmp_path / "a.tar", (info, last.getvalue())), network)
    assert [images.picture(i).size for i in range(5)] == [(7, 5), *[(9, 9)] * 4]


@pytest.mark.parametrize("how", ["shards", "folder"])
def test_tars_made_to_hang_or_grow(how: str, tmp_path: Path, network: Nested) -> None:
    """A size that leads back, one beyond the file, holes, headers without end, a tar in a tar."""

    def message(file: Path) -> str:
        with pytest.raises(HiergenError) as caught:
            open_data(f"wds/{file}" if how == "shards" else str(file), network)
        return str(caught.value)

    whole = tar_of(tmp_path / "a.tar", member("c4/last.png")).read_bytes()
    at = whole.index(b"c4/last.png")

    def with_size(size: bytes) -> bytes:
        header = bytearray(whole[at : at + 512])
        header[124:136] = size
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        return whole[:at] + bytes(header) + whole[at + 512 :]

    back = tmp_path / "back.tar"
    back.write_bytes(with_size(b"\xff" * 10 + b"\xfe\x00"))  # -512 bytes: to its own header
    assert "a member's size cannot be" in message(back)
    beyond = tmp_path / "beyond.tar"
    beyond.write_bytes(with_size(b"\x80" + (1 << 50).to_bytes(11, "big")))
    assert "is cut off" in message(beyond) or "unexpected end" in message(beyond)
    pax = bytearray(tarfile.TarInfo("x").tobuf(tarfile.USTAR_FORMAT))
    pax[156:157] = b"x"
    pax[148:156] = b" " * 8
    pax[148:156] = b"%06o\0 " % sum(pax)
    deep = tmp_path / "deep.tar"
    deep.write_bytes(bytes(pax) * 5000)
    assert "cannot be read" in message(deep) or "holds no images" in message(deep)
    if how == "folder":
        inner = member("c0/x.tar")
        assert "holds tars, which are not read" in message(tar_of(tmp_path / "outer.tar", inner))


def test_a_sparse_member_is_refused(tmp_path: Path, network: Nested) -> None:
    info, _ = member("c0/sparse.png")
    info.size = 0
    info.pax_headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(1 << 40)}
    file = tar_of(tmp_path / "a.tar", (info, b""))
    with pytest.raises(HiergenError, match=r"is sparse|is cut off"):
        open_data(file, network)


def test_shards_by_pattern_are_bounded(network: Nested) -> None:
    for pattern in ("a-{0..99999999}.tar", "{0..9}" * 9, f"a-{{0..{'9' * 5000}}}.tar"):
        with pytest.raises(HiergenError, match=r"names too many shards|no shard"):
            open_data(f"wds/{pattern}", network)
    assert ESCAPES not in "".join(OUT)
