# Read by the scripts beside it: runs steps, and says at the end how long each took.

taken=()

# Runs a command under a heading.
step() {
    printf '\n== %s\n' "$*"
    local begun=$SECONDS
    "$@"
    taken+=("$((SECONDS - begun)) s  $*")
}

# Says that a step is left out, and why.
skip() {
    printf '\n== skipped: %s\n' "$*"
    taken+=("skipped  $*")
}

# Where the time went.
say_times() {
    printf '\n== %s s altogether\n' "$SECONDS"
    printf '%s\n' "${taken[@]}"
}

# The public conformance corpus is large and not part of the project; tests that want it say so without it.
find_corpus() {
    local corpus=../shared/corpus/corpus-tests.tar.gz
    if [ -z "${PALISADE_TEST_CORPUS:-}" ] && [ -f "$corpus" ]; then
        PALISADE_TEST_CORPUS=$(realpath "$corpus")
        export PALISADE_TEST_CORPUS
    fi
}
