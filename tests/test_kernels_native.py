"""The kernels below Python: every instruction set checked in C++, and what is in their objects."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from octavo.kernels import runtime

ROOT = Path(__file__).parent.parent
FOLDERS = sorted(path.parent for path in (ROOT / "kernels").glob("*/bind.cpp"))
HOST = "build/native/CMakeFiles/_native.dir"
ARM = "build/checks/arm/CMakeFiles/native.dir"
# A loop is hot if it does this at least eight times.
WORK = {
    HOST: r"vpdpbusd|vpmaddubsw|vpmaddwd|vfn?m(add|sub)|vpopcnt|vpsadbw|vpermb|v(add|sub)ps",
    ARM: r"sdot|fml[as]|fadd|fsub|fabd|cnt|tbl",
}
STACK = {HOST: r"mm.*\(%r[sb]p|\(%r[sb]p.*mm", ARM: r"\b[qvd]\d+.*\[(sp|x29)"}
JUMP = {
    HOST: r"j\w+\s+([0-9a-f]+)",
    ARM: r"(?:b\.\w+|cbn?z\s+\w+,|tbn?z\s+\w+, #\d+,)\s+([0-9a-f]+)",
}
# Functions whose loop keeps more than the registers hold, and why; none may join.
NO_ARM = "GCC 12 orders the loads so; no ARM machine at hand to time another order on"
SPILLING = {
    "binary_matmul/neon Count<4>::run": NO_ARM,
    "binary_matmul/neon Multiply<2>::run": NO_ARM,
    "binary_matmul/neon Multiply<8>::run": NO_ARM,
    "binary_matmul/neon by_rows<Multiply, 8>": NO_ARM,
    "fake_quant/generic backward": NO_ARM,
    "fake_quant/neon backward": NO_ARM,
    "hadamard/avx512 join_pieces<16>": "7 of 119 instructions; two passes of 8 pieces cost a sweep",
    "pq_matmul/neon add_octets<2ul>": NO_ARM,
}
# What a unit may call: nothing that allocates, nothing of the standard library.
CALLED = {"memcpy", "memset", "memmove", "__popcountdi2", "_GLOBAL_OFFSET_TABLE_"}
# Operations whose time goes to loops of sums or products in registers.
HOT = {
    *("adder_conv2d", "csr_spmm", "int4_matmul", "int8_2of4_matmul", "int8_matmul"),
    *("kmeans_assign", "nm_spmm", "stripe_conv2d"),
}


def tool(built: str, name: str) -> str:
    return f"aarch64-linux-gnu-{name}" if built == ARM else name


def output(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def make(target: str) -> None:
    env = {key: value for key, value in os.environ.items() if key != "MAKEFLAGS"}
    done = subprocess.run(["make", target], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def need(*programs: str) -> None:
    if lost := [program for program in programs if not shutil.which(program)]:
        pytest.skip(f"{', '.join(lost)} not installed")


def objects(built: str, pattern: str = r"generic|avx2|avx512|neon") -> list[Path]:
    """Object files of the kernels' folders whose stem fits."""
    paths = (ROOT / built).glob("**/kernels/*/*.cpp.o")
    found = [p for p in paths if re.fullmatch(pattern, p.name.removesuffix(".cpp.o"))]
    if not found:
        pytest.skip(f"no object files in {built}: not built here from a clone")
    return sorted(found)


def assembly(built: str, path: Path) -> list[tuple[str, list[tuple[str, str]]]]:
    """Each function of an object file: its name, and (address, instruction) of all that it does."""
    text = output(tool(built, "objdump"), "-dC", "--no-show-raw-insn", path)
    parts = re.split(r"^[0-9a-f]+ <(.*)>:$", text, flags=re.MULTILINE)[1:]
    lines = re.compile(r"^\s*([0-9a-f]+):\s+(.*)$", re.MULTILINE)
    return [
        (short(name), lines.findall(body))
        for name, body in zip(parts[::2], parts[1::2], strict=True)
    ]


def short(name: str) -> str:
    """A demangled name without namespaces, result and arguments: `Count<4>::run`."""
    name = name.replace("(anonymous namespace)::", "").replace("octavo::", "")
    return name.partition("(")[0].removeprefix("void ")


def loops(built: str, path: Path) -> list[tuple[str, list[str]]]:
    """The innermost loops of an object file: the function, and the lines of assembly."""
    found = []
    for function, lines in assembly(built, path):
        place = {int(address, 16): i for i, (address, _) in enumerate(lines)}
        jumps = [re.match(JUMP[built], code) for _, code in lines]
        for i, (address, _) in enumerate(lines):
            jump = jumps[i]
            target = int(jump.group(1), 16) if jump else None
            if target is None or target >= int(address, 16) or target not in place:
                continue
            if not any(jumps[place[target] : i]):
                found.append((function, [code for _, code in lines[place[target] : i + 1]]))
    return found


def check_objects(built: str) -> None:
    """Nothing weak leaves a unit, nothing is allocated in one, no hot loop touches the stack.

    A weak symbol of an AVX-512 file could be the copy that every CPU runs.
    """
    hot: Counter[str] = Counter()
    for path in objects(built):
        symbols = output(tool(built, "nm"), "-C", path)
        assert not re.findall(r" [WVu] .*", symbols), path
        called = set(re.findall(r" U (.*)", symbols))
        assert called <= CALLED, (path, called)
        for function, body in loops(built, path):
            if sum(bool(re.match(WORK[built], code)) for code in body) >= 8:
                hot[path.parent.name] += path.name != "generic.cpp.o"
                where = f"{path.parent.name}/{path.name.removesuffix('.cpp.o')} {function}"
                spills = [code for code in body if re.search(STACK[built], code)]
                assert not spills or where in SPILLING, (where, spills, body)
    assert set(+hot) >= HOT, HOT - set(+hot)


def test_every_kernel_has_a_check_and_every_instruction_set() -> None:
    for folder in FOLDERS:
        assert (ROOT / f"tests/native/{folder.name}.cpp").exists(), folder.name
        for isa in ("generic", "avx2", "avx512", "neon"):
            assert (folder / f"{isa}.cpp").exists(), (folder.name, isa)


def test_the_kernels_agree_between_guard_pages_and_under_sanitizers() -> None:
    need("cmake", "g++", "make")
    make("test-native")


def test_the_kernels_agree_on_arm() -> None:
    need("cmake", "make", "aarch64-linux-gnu-g++", "qemu-aarch64")
    make("test-arm")
    check_objects(ARM)


@pytest.mark.skipif(not runtime.is_native(), reason="native kernels are not built here")
def test_objects_hold_what_they_should() -> None:
    need("objdump", "nm")
    check_objects(HOST)


@pytest.mark.skipif(not runtime.cpu_flags(), reason="native kernels are not built here")
def test_no_unit_takes_more_than_its_instruction_set() -> None:
    need("objdump")
    forbidden = {r"avx2": r"%zmm|%k[1-7]", r"(?!avx).*": r"%[yz]mm|%k[1-7]"}
    for pattern, registers in forbidden.items():
        for path in objects(HOST, pattern):
            lines = [line for _, body in assembly(HOST, path) for line in body]
            over = [code for _, code in lines if re.search(registers, code)]
            assert not over, (path, over[:3])
