"""Says how the example of each language is built and run, and which wrong name of a field it must refuse."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

__all__ = ["LANGUAGES", "Language", "googleapis", "run"]

ROOT = Path(__file__).parents[2]
GOCODE = Path("/usr/share/gocode")
JARS = Path("/usr/share/java")


@dataclass(frozen=True)
class Language:
    """How one language's client is built, in a copy of its folder."""

    name: str
    example: str
    """The program, within the client's folder."""
    needs: Sequence[str]
    """Programs, and files by their whole path, without which it cannot be built."""
    debian: str
    """The packages that bring them."""
    build: Callable[[Path], None]
    """Builds the client in a folder, which lies two levels below one with the protos."""
    command: Callable[[Path], Sequence[str | Path]]
    """What starts the example that was built."""
    misspell: Callable[[Path], subprocess.CompletedProcess[str]]
    """Tries a request with the other spelling of ``user_id``."""
    complaint: str
    """Part of what is said then."""

    def missing(self) -> str:
        """Names what this machine lacks; "": nothing."""
        return ", ".join(
            need for need in self.needs if not (Path(need).exists() if need.startswith("/") else shutil.which(need))
        )

    def copy(self, to: Path) -> Path:
        """Copies the client as it is in a fresh checkout, and returns its folder."""
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", f"clients/{self.name}", "protos"]
        for name in run(listed, ROOT).stdout.splitlines():
            if (ROOT / name).exists():
                (to / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, to / name)
        return to / "clients" / self.name

    def lines(self) -> int:
        """Counts the lines of the example that hold code."""
        text = (ROOT / "clients" / self.name / self.example).read_text("utf-8")
        return sum(bool(line.strip()) for line in text.splitlines())


def run(
    command: Sequence[str | Path], folder: Path, *, check: bool = True, seconds: float = 300, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs a program; one that fails is shown with all that it said."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0 or not check, f"{command}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done


def googleapis() -> Path:
    """Returns the folder with google/rpc/*.proto, of the package googleapis-common-protos."""
    spec = find_spec("google.rpc")
    assert spec
    assert spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations))).parents[1]


def _typescript(folder: Path) -> None:
    run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
    run(["npm", "test"], folder)


def _typescript_misspelt(folder: Path) -> subprocess.CompletedProcess[str]:
    program = 'import { connect } from "./index.js";\nawait connect("a:1").recommender.recommend({ user_id: "7" });\n'
    (folder / "src" / "misspelt.ts").write_text(program, "utf-8")
    return run(["npx", "tsc", "--noEmit"], folder, check=False)


def _go(folder: Path, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    # Debian's Go sees the packages of /usr/share/gocode alone, and by GOPATH; modules need their proxy.
    path = folder.parents[1] / "gopath"
    own = path / "src/github.com/honeyguide/honeyguide/clients/go"
    if not own.exists():
        own.parent.mkdir(parents=True)
        own.symlink_to(folder)
    return run(["go", *arguments], own, check=check, GO111MODULE="off", GOPATH=f"{path}:{GOCODE}", GOFLAGS="")


def _build_go(folder: Path) -> None:
    _go(folder, "vet", "./...")
    _go(folder, "build", "-o", folder / "example.bin", "./example")


def _go_misspelt(folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "misspelt").mkdir()
    program = 'package main\n\nimport pb "github.com/honeyguide/honeyguide/clients/go/honeyguidev1"\n\n'
    program += 'func main() { user := "7"; _ = pb.RecommendRequest{UserID: &user} }\n'
    (folder / "misspelt" / "main.go").write_text(program, "utf-8")
    return _go(folder, "build", "-o", "/dev/null", "./misspelt", check=False)


def _cpp(folder: Path) -> None:
    run(["cmake", "-S", ".", "-B", "build", f"-DGOOGLEAPIS={googleapis()}"], folder)
    run(["cmake", "--build", "build", "--parallel", "2"], folder, seconds=600)


def _cpp_misspelt(folder: Path) -> subprocess.CompletedProcess[str]:
    program = '#include "honeyguide/v1/recommender_service.pb.h"\n'
    program += 'int main() { honeyguide::v1::RecommendRequest request; request.set_userid("7"); }\n'
    (folder / "misspelt.cc").write_text(program, "utf-8")
    return run(["g++", "-std=c++17", "-fsyntax-only", "-Ibuild/generated", "misspelt.cc"], folder, check=False)


def _classpath() -> str:
    names = "grpc-* guava failureaccess protobuf proto-google-common-protos netty-* perfmark-* jsr305 gson opencensus-*"
    return ":".join(str(jar) for name in names.split() for jar in sorted(JARS.glob(f"{name}.jar")))


def _java(folder: Path) -> None:
    run(["sh", "build.sh"], folder, CLASSPATH=_classpath(), GOOGLEAPIS=str(googleapis()))
    # Debian's netty has ALPN, which gRPC over TLS needs, by OpenSSL alone, which it looks for under another name.
    (folder / "native").mkdir()
    shutil.copy(next(Path("/usr/lib").glob("*/jni/libnetty-tcnative.so")), folder / "native" / "libnetty_tcnative.so")


def _java_misspelt(folder: Path) -> subprocess.CompletedProcess[str]:
    program = 'class Misspelt { Object o = io.honeyguide.v1.RecommendRequest.newBuilder().setUserID("7"); }\n'
    (folder / "Misspelt.java").write_text(program, "utf-8")
    path = f"target/classes:{_classpath()}"
    return run(["javac", "-d", "target/classes", "-cp", path, "Misspelt.java"], folder, check=False)


def _ruby(folder: Path) -> None:
    run(["rake", "generate"], folder)


def _ruby_misspelt(folder: Path) -> subprocess.CompletedProcess[str]:
    program = 'require "honeyguide"; Honeyguide::V1::RecommendRequest.new(userId: "7")'
    return run(["ruby", "-Ilib", "-e", program], folder, check=False)


LANGUAGES = (
    Language(
        name="typescript",
        example="src/example.ts",
        needs=("node", "npm"),
        debian="nodejs npm",
        build=_typescript,
        command=lambda folder: ["node", folder / "dist" / "example.js"],
        misspell=_typescript_misspelt,
        complaint="'user_id' does not exist in type",
    ),
    Language(
        name="go",
        example="example/main.go",
        needs=("go", "protoc", "protoc-gen-go", "protoc-gen-go-grpc", f"{GOCODE}/src/google.golang.org/grpc/status"),
        debian="golang-go golang-google-grpc-dev golang-google-protobuf-dev golang-github-golang-protobuf-1-5-dev "
        "golang-google-genproto-dev protobuf-compiler protoc-gen-go protoc-gen-go-grpc",
        build=_build_go,
        command=lambda folder: ["env", "GRPC_GO_RETRY=on", folder / "example.bin"],  # newer ones do it without
        misspell=_go_misspelt,
        complaint="unknown field 'UserID'",
    ),
    Language(
        name="cpp",
        example="example.cc",
        needs=("cmake", "g++", "protoc", "grpc_cpp_plugin", "/usr/include/grpcpp/grpcpp.h"),
        debian="cmake g++ make pkg-config libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc",
        build=_cpp,
        command=lambda folder: [folder / "build" / "example"],
        misspell=_cpp_misspelt,
        complaint="has no member named ‘set_userid’",
    ),
    Language(
        name="java",
        example="src/main/java/io/honeyguide/client/Example.java",
        needs=("javac", "protoc", "grpc_java_plugin", f"{JARS}/grpc-netty.jar", f"{JARS}/netty-tcnative.jar"),
        debian="default-jdk-headless libgrpc-java libprotobuf-java libgoogle-common-protos-java libnetty-java "
        "libnetty-tcnative-java libnetty-tcnative-jni libperfmark-java libgoogle-gson-java libguava-java "
        "protobuf-compiler protobuf-compiler-grpc-java-plugin",
        build=_java,
        command=lambda folder: [
            "java",
            f"-Djava.library.path={folder}/native",
            "-cp",
            f"{folder}/target/classes:{_classpath()}",
            "io.honeyguide.client.Example",
        ],
        misspell=_java_misspelt,
        complaint="symbol:   method setUserID(String)",
    ),
    Language(
        name="ruby",
        example="example.rb",
        needs=("ruby", "rake", "grpc_tools_ruby_protoc"),
        debian="ruby rake ruby-grpc ruby-grpc-tools ruby-google-protobuf ruby-googleapis-common-protos-types",
        build=_ruby,
        command=lambda folder: ["ruby", f"-I{folder}/lib", folder / "example.rb"],
        misspell=_ruby_misspelt,
        complaint="Unknown field name 'userId'",
    ),
)


if __name__ == "__main__":  # prints what `apt-get install` needs here, for .ci/run
    lacking = (language.debian for language in LANGUAGES if language.missing())
    sys.stdout.write(" ".join(sorted({package for packages in lacking for package in packages.split()})))
