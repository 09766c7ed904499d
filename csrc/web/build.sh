#!/bin/sh
# Compiles the engine to WebAssembly: build.sh OUTPUT. Needs clang with its wasm32 target, and lld.
set -eu
export LC_ALL=C
here=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
out=$(realpath -m -- "$1")
objects=$(mktemp -d)
trap 'rm -r "$objects"' EXIT
cd "$here"

# No contraction: a*b+c is rounded twice, as the definition says. Relative paths, and no names of
# functions, so that the bytes do not depend on where they were made.
compile() {
  "${CLANG:-clang}" --target=wasm32 -std=c11 "$1" -msimd128 -mbulk-memory -ffp-contract=off \
    -ffreestanding -fvisibility=hidden -Wall -Wextra -isystem web/libc -Iengine -Icommon \
    -c "$2" -o "$objects/$(basename "$2" .c).o"
}

# Small, but where the time goes. Left out: threads, timing, and the plan as text.
for file in engine/*.c common/processor.c web/web.c web/libc.c; do
  case $file in
    */kernels_avx* | */team.c | */tune.c | */plan_text.c) ;;
    */kernels_generic.c) compile -O2 "$file" &
      ;;
    *) compile -Os "$file" &
      ;;
  esac
done
wait # the linker misses what a file that failed does not define
"${WASM_LD:-wasm-ld}" --no-entry --strip-all --max-memory=1073741824 -z stack-size=262144 \
  "$objects"/*.o -o "$out"
chmod 644 "$out"
