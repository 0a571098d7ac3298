"""``mobileseg infer``: images, folders and videos through a bundle."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from paddle_mobileseg.cli.infer import backend_options
from paddle_mobileseg.data.palette import overlay
from paddle_mobileseg.data.reading import read_image, read_label
from paddle_mobileseg.runtime import Session, inference
from paddle_mobileseg.runtime.inference import Inferred, infer
from paddle_mobileseg.runtime.video import VideoReader, VideoWriter

Run = Callable[..., tuple[int, str, str]]
LABELS, OVERLAYS = "pseudo_color_prediction", "added_prediction"
FPS = 12.5


def picture(seed: int, height: int = 30, width: int = 44) -> np.ndarray:
    """Rectangles of red, green and blue: the bundle made by hand labels them 0, 1 and 2."""
    random = np.random.default_rng(seed)
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = 200
    for channel in (1, 2):
        top, left = random.integers(0, height // 2), random.integers(0, width // 2)
        image[top : top + height // 3, left : left + width // 3] = np.eye(3, dtype=np.uint8)[channel] * 200
    return image


def write_png(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def write_video(path: Path, count: int, size_hw: tuple[int, int] = (30, 44), kind: str = "mp4v") -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*kind), FPS, size_hw[::-1])
    assert writer.isOpened()
    for number in range(count):
        writer.write(picture(number, *size_hw)[:, :, ::-1].copy())
    writer.release()
    return path


def frames_of(path: Path) -> list[np.ndarray]:
    with VideoReader(path) as video:
        return list(video)


def written(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_folder_with_bad_files_in_it(make_bundle: Any, run: Run, tmp_path: Path) -> None:
    images = {"a": picture(0), "below/b": picture(1, 17, 51)}
    for name, image in images.items():
        write_png(tmp_path / "in" / f"{name}.png", image)
    (tmp_path / "in" / "broken.jpg").write_bytes(b"no image")
    whole = (tmp_path / "in" / "a.png").read_bytes()
    (tmp_path / "in" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "in" / "notes.txt").write_text("passed over")
    folder = make_bundle()

    out = tmp_path / "out"
    status, printed, error = run("infer", "--bundle", folder, "--input", tmp_path / "in", "--save_dir", out)
    assert (status, printed) == (1, f"labelled 2 images into {out}\n")
    lines = error.splitlines()
    assert [line.split(": ")[1] for line in lines] == [str(tmp_path / "in" / n) for n in ("broken.jpg", "cut.png")]
    assert "corrupt or truncated" in lines[1]
    assert written(tmp_path / "out") == [
        *(f"{OVERLAYS}/{name}.jpg" for name in images),
        *(f"{LABELS}/{name}.png" for name in images),
    ]
    session = Session(folder)
    for name, image in images.items():
        saved = Image.open(tmp_path / "out" / LABELS / f"{name}.png")
        assert saved.mode == "P"
        assert saved.getpalette()[:9] == session.bundle.palette.reshape(-1).tolist()
        np.testing.assert_array_equal(np.asarray(saved), image.argmax(2))
        mixed = read_image(tmp_path / "out" / OVERLAYS / f"{name}.jpg").astype(int)
        expected = overlay(image, image.argmax(2), session.bundle.palette)
        assert np.median(np.abs(mixed - expected)) < 8  # JPEG blurs edges


@pytest.mark.parametrize("resized", [False, True])
def test_the_labels_are_those_of_predict(run: Run, varied: Path, scenes: Path, tmp_path: Path, resized: bool) -> None:
    """For a graph that gives logits, whether images have the network's size or are resized to it."""
    source = tmp_path / "in"
    for number in range(3):
        image = read_image(scenes / "images" / "val" / f"{number:04d}.jpg")
        write_png(source / f"{number}.png", image if resized else cv2.resize(image, (128, 96)))
    words = ("--model_path", varied, "--output_op", "none", "--input_shape", 1, 3, 96, 128)
    assert run("export", *words, "--save_dir", tmp_path / "bundle", "--formats", "onnx", "paddle")[0] == 0
    predicted = tmp_path / "predicted"
    assert run("predict", "--model_path", varied, "--image_path", source, "--save_dir", predicted)[0] == 0
    for backend in ("onnxruntime", "paddle"):
        inferred = tmp_path / backend
        words = ("--bundle", tmp_path / "bundle", "--backend", backend, "--input", source, "--save_dir", inferred)
        assert run("infer", *words)[0] == 0
        assert written(inferred) == [name for name in written(predicted) if name != "predict_config.yml"]
        for number in range(3):
            ours, theirs = (folder / LABELS / f"{number}.png" for folder in (inferred, predicted))
            labels, expected = read_label(ours), read_label(theirs)
            assert len(np.unique(expected)) > 2
            assert (labels == expected).mean() >= 0.999
            assert Image.open(ours).getpalette() == Image.open(theirs).getpalette()
            if np.array_equal(labels, expected):
                assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize(("name", "kind"), [("v.mp4", "mp4v"), ("V.AVI", "MJPG")])
def test_a_video(make_bundle: Any, run: Run, tmp_path: Path, name: str, kind: str) -> None:
    source = write_video(tmp_path / name.lower(), 7, kind=kind).rename(tmp_path / name)
    folder, out = make_bundle(), tmp_path / "out"
    status, printed, error = run("infer", "--bundle", folder, "--input", source, "--save_dir", out, "--alpha", 1)
    assert (status, error) == (0, "")
    assert printed == f"labelled 0 images and 1 video, whose sound is not copied, into {out}\n"
    stem = source.stem
    assert written(out) == [f"{OVERLAYS}/{stem}.mp4", *(f"{LABELS}/{name}/{i:06d}.png" for i in range(7))]
    session = Session(folder)
    with VideoReader(out / OVERLAYS / f"{stem}.mp4") as video:
        assert (video.size_hw, video.fps, video.announced) == ((30, 44), FPS, 7)
        shown = list(video)
    for number, frame in enumerate(frames_of(source)):
        labels = read_label(out / LABELS / name / f"{number:06d}.png")
        np.testing.assert_array_equal(labels, session.run(frame))
        assert np.abs(shown[number].astype(int) - session.bundle.palette[labels]).mean() < 30  # MPEG-4


def test_alpha_0_shows_the_image_alone(make_bundle: Any, tmp_path: Path) -> None:
    source = write_png(tmp_path / "a.png", picture(0))
    assert infer(Session(make_bundle()), source, tmp_path / "out", alpha=0) == Inferred(1, 0, [])
    assert np.abs(read_image(tmp_path / "out" / OVERLAYS / "a.jpg").astype(int) - picture(0)).mean() < 15


def test_frames_are_written_as_they_are_read(make_bundle: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is kept for later."""
    source = write_video(tmp_path / "v.mp4", 6)
    session = Session(make_bundle())
    label, seen = session.run, []

    def count(frame: np.ndarray) -> np.ndarray:
        seen.append(len(list((tmp_path / "out" / LABELS).rglob("*.png"))))
        return label(frame)

    monkeypatch.setattr(session, "run", count)
    infer(session, source, tmp_path / "out")
    assert seen == [0, 1, 2, 3, 4, 5]


def test_a_video_of_odd_size_repeats_its_last_row_and_column(make_bundle: Any, tmp_path: Path) -> None:
    source = tmp_path / "v.avi"  # OpenCV's own writer of this kind keeps odd sizes
    size_wh = (45, 31)
    writer = cv2.VideoWriter(str(source), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter.fourcc(*"MJPG"), 25, size_wh)
    for number in range(3):
        writer.write(picture(number, 31, 45)[:, :, ::-1].copy())
    writer.release()
    assert infer(Session(make_bundle()), source, tmp_path / "out") == Inferred(0, 1, [])
    assert read_label(tmp_path / "out" / LABELS / "v.avi" / "000002.png").shape == (31, 45)
    assert frames_of(tmp_path / "out" / OVERLAYS / "v.mp4")[2].shape == (32, 46, 3)


def test_a_video_that_ends_early(make_bundle: Any, run: Run, tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.avi", 20, kind="MJPG")
    data = source.read_bytes()
    source.write_bytes(data[: len(data) // 2])
    out = tmp_path / "out"
    status, _, error = run("infer", "--bundle", make_bundle(), "--input", source, "--save_dir", out)
    count = len(list((out / LABELS / "in.avi").iterdir()))
    assert 0 < count < 18
    assert status == 1
    expected = f"{source}: damaged or cut off: it ended after {count} of 20 frames, which are done"
    assert error == f"error: {expected}\n"
    assert len(frames_of(out / OVERLAYS / "in.mp4")) == count


def test_frames_of_an_earlier_longer_video_go(make_bundle: Any, tmp_path: Path) -> None:
    session = Session(make_bundle())
    frames = tmp_path / "out" / LABELS / "v.mp4"
    infer(session, write_video(tmp_path / "v.mp4", 5), tmp_path / "out")
    assert len(list(frames.iterdir())) == 5
    (frames / "mine.png").touch()
    infer(session, write_video(tmp_path / "v.mp4", 3), tmp_path / "out")
    assert sorted(path.name for path in frames.iterdir()) == ["000000.png", "000001.png", "000002.png", "mine.png"]


@pytest.mark.parametrize("content", [b"", b"no video at all", None])
def test_unreadable_videos_do_not_stop_the_others(make_bundle: Any, tmp_path: Path, content: bytes | None) -> None:
    good = write_video(tmp_path / "in.mp4", 2)
    source = tmp_path / "in"
    source.mkdir()
    good.rename(source / "z.mp4")
    data = (source / "z.mp4").read_bytes()
    (source / "a.mp4").write_bytes(data[: len(data) // 2] if content is None else content)
    done = infer(Session(make_bundle()), source, tmp_path / "out")
    assert (done.images, done.videos) == (0, 1)
    assert done.failures == [
        f"{source / 'a.mp4'}: no video that OpenCV can read (damaged, cut off, or of an unknown kind); "
        "`ffmpeg -i IN -c:v libx264 OUT.mp4` converts one"
    ]
    assert written(tmp_path / "out") == [f"{OVERLAYS}/z.mp4", *(f"{LABELS}/z.mp4/{i:06d}.png" for i in range(2))]


def test_a_video_that_could_not_be_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    with pytest.raises(OSError, match=r"only \d of 4 frames of v\.mp4 could be written; is the disk full\?"):  # noqa: SIM117
        with VideoWriter(path, 25, (16, 16)) as writer:
            for _ in range(3):
                writer.add(np.zeros((16, 16, 3), np.uint8))
            writer.add(np.zeros((8, 16, 3), np.uint8))  # OpenCV leaves it out and says nothing
    with pytest.raises(OSError, match="cannot write an MPEG-4 video of 16x16 pixels"):
        VideoWriter(tmp_path / "none" / "v.mp4", 25, (16, 16))


def test_results_are_no_input(make_bundle: Any, tmp_path: Path) -> None:
    """The output folder may lie in the input folder, or be it."""
    session = Session(make_bundle())
    write_png(tmp_path / "in" / "a.png", picture(0))
    for _ in range(2):
        assert infer(session, tmp_path / "in", tmp_path / "in") == Inferred(1, 0, [])


def test_names_of_one_folder_do_not_meet(make_bundle: Any, tmp_path: Path) -> None:
    source = tmp_path / "in"
    write_png(source / "a.png", picture(0))
    write_png(source / "a.bmp", picture(1))
    write_video(source / "a.mp4", 2)
    write_png(source / "b" / "000000.png", picture(2))
    write_video(source / "b.mp4", 2)
    assert infer(Session(make_bundle()), source, tmp_path / "out") == Inferred(3, 2, [])
    assert written(tmp_path / "out") == [
        *(f"{OVERLAYS}/{name}" for name in ("a_bmp.jpg", "a_mp4.mp4", "a_png.jpg", "b.mp4", "b/000000.jpg")),
        *(f"{LABELS}/{name}" for name in ("a_bmp.png", "a_mp4.mp4/000000.png", "a_mp4.mp4/000001.png", "a_png.png")),
        *(f"{LABELS}/{name}" for name in ("b.mp4/000000.png", "b.mp4/000001.png", "b/000000.png")),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"--input": "nowhere"},
            "there is no {0}/nowhere; expected an image, a video, a folder of them or a .txt list",
        ),
        ({"--input": "empty"}, "{0}/empty has no image or video in it; expected files ending in .jpg,"),
        ({"--input": "text"}, "{0}/text: not an image file of a supported format"),
        ({"--bundle": "empty"}, "{0}/empty is no bundle: there is no {0}/empty/deploy.yaml"),
        ({"--backend": "tensorflow"}, "unknown backend 'tensorflow'; expected one of onnxruntime"),
        ({"--backend": "paddle"}, "holds no files for the backend 'paddle' (it has files for: onnxruntime)"),
        ({"--save_dir": "text"}, "cannot write to {0}/text: File exists; choose another output folder"),
        ({"--save_dir": "text/out"}, "cannot write to {0}/text/out: Not a directory; choose another output folder"),
        ({"--threads": 0}, "threads is 0; expected a whole number from 1"),
        ({"--alpha": 1.5}, "alpha is 1.5; expected a number from 0"),
        ({"--alpha": "nan"}, "alpha is nan; expected a number from 0"),
        ({"--options": "precision"}, "--options 'precision' is not understood; expected KEY=VALUE"),
        ({"--options": "power=9"}, "backend 'onnxruntime' has no option 'power'; it has none"),
        ({"--device": "gpu"}, "backend 'onnxruntime' has no option 'device'; it has none"),
    ],
)
def test_mistakes(make_bundle: Any, run: Run, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("text")
    words: dict[str, Any] = {"--bundle": make_bundle(), "--input": write_png(tmp_path / "a.png", picture(0))}
    for key, value in changes.items():
        words[key] = tmp_path / value if key in ("--input", "--bundle", "--save_dir") else value
    words.setdefault("--save_dir", tmp_path / "out")
    status, _, error = run("infer", *(word for pair in words.items() for word in pair))
    assert status == 1
    assert error.startswith("error: ")
    assert message.format(tmp_path) in error


def test_a_changed_bundle(make_bundle: Any, run: Run, tmp_path: Path) -> None:
    folder = make_bundle()
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:-1])
    status, _, error = run("infer", "--bundle", folder, "--input", tmp_path, "--save_dir", tmp_path / "out")
    assert (status, "were exported; copy the bundle again, or export again" in error) == (1, True)


def test_an_image_of_another_size_than_the_graph_takes(make_bundle: Any, run: Run, tmp_path: Path) -> None:
    """Where the bundle's transforms do not resize."""
    for name, size in (("a", (30, 44)), ("b", (31, 44))):
        write_png(tmp_path / "in" / f"{name}.png", picture(0, *size))
    folder = make_bundle(input_shape=[1, 3, 30, 44])
    out = tmp_path / "out"
    status, printed, error = run("infer", "--bundle", folder, "--input", tmp_path / "in", "--save_dir", out)
    assert (status, printed) == (1, f"labelled 1 image into {out}\n")
    assert error.startswith(f"error: {tmp_path}/in/b.png: ") and "[1, 3, 30, 44]" in error


def test_a_full_disk_ends_it(make_bundle: Any, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(inference, "write_all", full)
    source = write_png(tmp_path / "a.png", picture(0))
    status, _, error = run("infer", "--bundle", make_bundle(), "--input", source, "--save_dir", tmp_path / "out")
    assert (status, "No space left on device" in error) == (1, True)


def test_options_of_a_backend() -> None:
    words = ["precision=fp16", "workspace=2", "scale=0.1", "fast=true", "arm_runner=ssh phone", "a=b=c", "e=", "d={"]
    texts = {"precision": "fp16", "arm_runner": "ssh phone", "a": "b=c", "e": "", "d": "{"}
    assert backend_options(words) == {**texts, "workspace": 2, "scale": 0.1, "fast": True}
    for wrong in ("precision", "=1", "two words=1"):
        with pytest.raises(ValueError, match=r"is not understood; expected KEY=VALUE"):
            backend_options([wrong])


SLOW = """
import sys, time
from paddle_mobileseg.cli import main
from paddle_mobileseg.runtime import Session
run, left = Session.run, [3]

def slow(self, image):
    left[0] -= 1
    if left[0] < 0:
        print("third", flush=True)
        time.sleep(60)
    return run(self, image)

Session.run = slow
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("kind", ["images", "video"])
def test_killed_in_the_middle(make_bundle: Any, tmp_path: Path, kind: str) -> None:
    """What is there is whole, under its name or not at all; the next run writes the rest."""
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    if kind == "images":
        for number in range(6):
            write_png(source / f"{number}.png", picture(number))
    else:
        write_video(source / "v.mp4", 6)
    words = ["infer", "--bundle", str(make_bundle()), "--input", str(source), "--save_dir", str(out)]
    process = subprocess.Popen([sys.executable, "-c", SLOW, *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "third\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()

    visible = [name for name in written(out) if "/." not in f"/{name}"]
    if kind == "images":
        assert visible == [f"{OVERLAYS}/{i}.jpg" for i in range(3)] + [f"{LABELS}/{i}.png" for i in range(3)]
    else:
        assert visible == [f"{LABELS}/v.mp4/{i:06d}.png" for i in range(3)]  # the overlay comes whole at the end
    for name in visible:
        read_image(out / name)
    done = subprocess.run([sys.executable, "-m", "paddle_mobileseg.cli", *words], capture_output=True, check=False)
    assert done.returncode == 0
    assert len(list((out / LABELS).rglob("*.png"))) == 6


def test_twice_at_once_into_one_folder(make_bundle: Any, tmp_path: Path) -> None:
    session, out = Session(make_bundle()), tmp_path / "out"
    for number in range(8):
        write_png(tmp_path / "in" / f"{number}.png", picture(number))
    write_video(tmp_path / "in" / "v.mp4", 4)
    expected = infer(session, tmp_path / "in", tmp_path / "alone")
    assert expected == Inferred(8, 1, [])
    results: list[Inferred] = []
    start = threading.Barrier(3)

    def work() -> None:
        start.wait()
        results.append(infer(session, tmp_path / "in", out))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 3
    assert written(out) == written(tmp_path / "alone")
    for name in written(out):
        if not name.endswith(".mp4"):
            assert (out / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    assert len(frames_of(out / OVERLAYS / "v.mp4")) == 4


def test_the_script_is_the_command(make_bundle: Any, repository: Path, tmp_path: Path) -> None:
    """From another folder."""
    source = write_png(tmp_path / "a.png", picture(0))
    words = ["--bundle", make_bundle(), "--input", source, "--save_dir", tmp_path / "out"]
    script = [sys.executable, repository / "deploy" / "python" / "infer.py"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [*map(str, [*script, *words])], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"labelled 1 image into {tmp_path / 'out'}\n", "")
    np.testing.assert_array_equal(read_label(tmp_path / "out" / LABELS / "a.png"), picture(0).argmax(2))
