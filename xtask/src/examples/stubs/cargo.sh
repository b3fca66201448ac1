#!/bin/bash
# `cargo xtask …`: the real xtask must know the subcommand and its flags, and `lab play` those behind `--`. Others: cargo must take the
# flags and get as far as to look for a manifest that is not there.
ours=() theirs=() behind=
for word in "$@"; do
    if [ -z "$behind" ] && [ "$word" = -- ]; then behind=1; continue; fi
    if [ -n "$behind" ]; then theirs+=("$word"); else ours+=("$word"); fi
done
if [ "$1" = xtask ]; then
    @XTASK@ "${ours[@]:1}" --help || exit
    [ -z "$behind" ] || exec @LAB@ play "${theirs[@]}" --help
    exit
fi
export HOME=@HOME@ # rustup's is there
case "$1" in fmt | install) exec @CARGO@ "$1" --help ;; esac
said=$(@CARGO@ "${ours[@]}" --manifest-path /nonexistent/Cargo.toml 2>&1)
case "$said" in
*'/nonexistent/Cargo.toml` does not exist'*) ;;
*) printf 'cargo does not take this: cargo %s\n%s\n' "$*" "$said" >&2; exit 1 ;;
esac
# A test target that there is, if it is not one of the reader's own choice.
for at in "${!ours[@]}"; do
    name=${ours[at+1]}
    [ "${ours[at]}" = --test ] && [ "$name" = "${name,,}" ] || continue
    [ -e "@WORKSPACE@/tests/tests/$name.rs" ] || [ -e "@WORKSPACE@/tests/tests/$name/main.rs" ] && continue
    echo "there is no test target $name" >&2
    exit 1
done
exit 0
